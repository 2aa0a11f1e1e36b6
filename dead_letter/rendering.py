"""Lists of dead letters: rows of tables for people, and JSON for programs."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console

from bridge.console.printable import printable
from bridge.console.quantities import duration_text
from bridge.console.terminal import Column, print_table
from bridge.event import UNKNOWN_TIME, format_time
from bridge.ledger import Dead, Decision, Group, Redriven, Skipped

ID_END = 12
"""Characters of an id that lists show: the last group of a UUIDv7, which is random."""

NOT_BELIEVED = "NOT BELIEVED"
"""Printed before the error of a letter that its signature does not prove to be a worker's."""

NO_QUEUE = "-"
"""Printed as the queue of an event that no queue took."""

UNKNOWN = "unknown"
"""Printed as a time that a letter does not have."""

CANDIDATES = 10
"""Most candidates that are printed."""

NUMBERS_SHOWN = 10
"""Most numbers of letters or records that are named for each reason."""

REASONS_SHOWN = 5
"""Most reasons that are named for skipped records."""

_GROUP_COLUMNS = (
    Column("count", right=True, narrow=True),
    Column("event"),
    Column("queue"),
    Column("oldest", right=True, narrow=True),
    Column("newest", right=True, narrow=True),
    Column("error"),
)
_LETTER_COLUMNS = (
    Column("number", right=True, narrow=True),
    Column("id", narrow=True),
    Column("event"),
    Column("queue"),
    Column("age", right=True, narrow=True),
    Column("attempts", right=True, narrow=True),
    Column("error"),
)


def age(time: datetime, now: datetime) -> str:
    """Return the time from `time` to `now`, in the largest fitting unit; `unknown` for an unknown time."""
    return UNKNOWN if time == UNKNOWN_TIME else duration_text((now - time).total_seconds())


def ago(time: datetime, now: datetime) -> str:
    """Return how long ago a time was: `3 min ago`, or `at an unknown time`."""
    return f"at an {UNKNOWN} time" if time == UNKNOWN_TIME else f"{age(time, now)} ago"


def time_to_json(time: datetime) -> str | None:
    """Return a time for a JSON document; None for an unknown one."""
    return None if time == UNKNOWN_TIME else format_time(time)


def letters_of(count: int, kind: str = "") -> str:
    """Return the count with its noun: `1 dead letter`, `1,204 open dead letters`."""
    return f"{count:,} {kind}{'dead letter' if count == 1 else 'dead letters'}"


def next_commands(*commands: str) -> str:
    """Return the commands that a user may type next, one a line."""
    return "\n".join(f"{'Next:' if place == 0 else '':5} {command}" for place, command in enumerate(commands))


def short_id(event_id: str) -> str:
    """Return the end of an id, which is enough to name the event."""
    return event_id if len(event_id) <= ID_END else f"…{event_id[-ID_END:]}"


def print_groups(console: Console, groups: Sequence[Group], now: datetime) -> None:
    """Print the summary: a row for each event name, queue and error."""
    rows = (
        (
            f"{group.count:,}",
            group.event_name,
            group.queue or NO_QUEUE,
            age(group.oldest, now),
            age(group.newest, now),
            group.error_type,
        )
        for group in groups
    )
    print_table(console, _GROUP_COLUMNS, rows)


def print_letters(console: Console, letters: Iterable[Dead], now: datetime) -> None:
    """Print a row for each letter."""
    rows = (
        (
            str(letter.number),
            short_id(letter.event_id),
            letter.event_name,
            letter.queue or NO_QUEUE,
            age(letter.time, now),
            str(letter.attempts),
            error_line(letter),
        )
        for letter in letters
    )
    print_table(console, _LETTER_COLUMNS, rows)


def print_candidates(console: Console, letters: Sequence[Dead], now: datetime) -> None:
    """Print some of the letters whose ids have the same end. Without letters, print nothing."""
    if letters:
        print_letters(console, letters[:CANDIDATES], now)
    if len(letters) > CANDIDATES:
        console.print(f"… and {len(letters) - CANDIDATES:,} more")


def error_line(letter: Dead) -> str:
    """Return the error in one line."""
    error = f"{letter.error_type}: {letter.error_message}" if letter.error_message else letter.error_type
    return error if letter.believed else f"{NOT_BELIEVED}: {error}"


def decision_text(decision: Decision, now: datetime) -> str:
    """Return the decision with its author, age and reason: `redriven by ann@host 3 min ago: fixed in v43`."""
    verb = "redriven" if isinstance(decision, Redriven) else "discarded"
    note = f": {decision.note}" if decision.note else ""
    return printable(f"{verb} by {decision.actor} {ago(decision.time, now)}{note}")


def by_reason(reasons: Iterable[tuple[int, str]]) -> list[str]:
    """Return a line for each reason, with the numbers that it holds for: `  3, 4 and 12 more: no queue 'mail'`."""
    numbers: dict[str, list[int]] = {}
    for number, why in reasons:
        numbers.setdefault(why, []).append(number)
    return [
        f"  {', '.join(map(str, found[:NUMBERS_SHOWN]))}{_more(len(found) - NUMBERS_SHOWN)}: {printable(why)}"
        for why, found in numbers.items()
    ]


def skipped_lines(skipped: Sequence[Skipped]) -> list[str]:
    """Return what people must know about records of the ledger that do not count; no line if there are none."""
    if not skipped:
        return []
    lines = by_reason((each.number, each.why) for each in skipped)
    counted = f"{len(skipped):,} {'record' if len(skipped) == 1 else 'records'}"
    more = len(lines) - REASONS_SHOWN
    return [
        f"Left out: {counted} of the ledger, by number:",
        *lines[:REASONS_SHOWN],
        *([f"  and for {more:,} more {'reason' if more == 1 else 'reasons'}"] if more > 0 else []),
    ]


def _more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""


def group_to_json(group: Group) -> dict[str, Any]:
    """Return a row of the summary as a JSON object."""
    return {
        "count": group.count,
        "event": group.event_name,
        "queue": group.queue,
        "error": group.error_type,
        "oldest": time_to_json(group.oldest),
        "newest": time_to_json(group.newest),
    }


def letter_to_json(letter: Dead) -> dict[str, Any]:
    """Return a row of a list as a JSON object."""
    return {
        "number": letter.number,
        "id": letter.event_id,
        "event": letter.event_name,
        "queue": letter.queue,
        "reason": letter.reason,
        "error": {"type": letter.error_type, "message": letter.error_message},
        "attempts": letter.attempts,
        "group": letter.fingerprint.id,
        "release": letter.release,
        "time": time_to_json(letter.time),
        **({} if letter.believed else {"believed": False}),
    }
