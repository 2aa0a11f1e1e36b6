"""Groups of failures as text for people, and as JSON documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from bridge.console.terminal import Column, print_table, print_text
from bridge.event import UNKNOWN_TIME
from bridge.failures.fingerprint import ID_LENGTH
from bridge.failures.groups import FailureGroup
from bridge.failures.in_common import Sample, in_common
from bridge.failures.states import GroupState, fields_of
from dead_letter.rendering import age, ago, time_to_json

_COLUMNS = (
    Column("group", narrow=True),
    Column("state", narrow=True),
    Column("dead", right=True, narrow=True),
    Column("retrying", right=True, narrow=True),
    Column("first", right=True, narrow=True),
    Column("last", right=True, narrow=True),
    Column("error"),
)


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """A group with its state and the sample of its letters."""

    group: FailureGroup
    state: GroupState
    sample: Sample


def print_group_rows(console: Console, shown: Sequence[ShownGroup], now: datetime) -> None:
    """Print a table of the groups, then for each why it has its state, and what its members have in common."""
    rows = (
        (
            each.group.id,
            each.state.word,
            f"{len(each.group.dead):,}",
            f"{len(each.group.retrying):,}",
            *(age(time, now) for time in each.group.first_and_last),
            each.group.fingerprint.title,
        )
        for each in shown
    )
    print_table(console, _COLUMNS, rows)
    console.print()
    for each in shown:
        print_text(console, f"{each.group.id}: {in_common(each.group, each.sample)}")
        if each.state.why:
            print_text(console, f"{' ' * ID_LENGTH}  {state_text(each.state, now)}")


def state_text(state: GroupState, now: datetime) -> str:
    """Return the state with the reason and who decided: `known by ann@web1 2 h ago: the provider knows`."""
    decision = state.decision
    by = f" by {decision.who} {ago(decision.time, now)}" if decision is not None else ""
    note = decision.note if decision is not None and decision.note != state.why else ""
    return f"{state.word}{by}: {' · '.join(filter(None, (state.why, note)))}"


def retrying_line(since: datetime) -> str:
    """Return what people must know if not all of the history was read."""
    when = since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return f"Retrying counts the events that were attempted since {when}; the history has older attempts."


def group_document(shown: ShownGroup) -> dict[str, Any]:
    """Return a group as a JSON object."""
    group, sample, state = shown.group, shown.sample, shown.state
    first, last = group.first_and_last
    return {
        "group": group.id,
        "title": group.fingerprint.title,
        "error": {"type": group.fingerprint.type, "message": group.fingerprint.template},
        "state": {"word": state.word, "why": state.why, "decision": state.decision and fields_of(state.decision)},
        "place": group.fingerprint.place or None,
        "dead": {"count": len(group.dead), "newest": group.dead[-1].number if group.dead else None},
        "retrying": {"count": len(group.retrying), "due": group.next_attempt and time_to_json(group.next_attempt)},
        "first": None if first == UNKNOWN_TIME else time_to_json(first),
        "last": None if last == UNKNOWN_TIME else time_to_json(last),
        "queues": dict(group.queues),
        "events": dict(group.events),
        "releases": {name or "": count for name, count in group.releases.items()},
        "sources": dict(sample.sources),
        "payload_keys": dict(sample.keys),
        "sampled": sample.size,
        "in_common": in_common(group, sample),
    }
