"""Lists of dead letters as people and programs read them: tables on a terminal, aligned text in a pipe, JSON lines.

What events and errors say is somebody else's text: it is shown with its control characters escaped and is never markup.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.event import timestamp
from bridge.ledger import Dead, Decision, Group, Redriven

ID_END = 12
"""Characters of an id that lists show: the last group of a UUIDv7, all of it random."""


NO_QUEUE = "-"
"""Stands for the queue of an event that none took."""

CANDIDATES = 10


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `narrow`: it is never cut to fit a terminal."""

    title: str
    right: bool = False
    narrow: bool = False


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


def terminal(stream: TextIO | None = None) -> Console:
    """Return a console that takes no text for markup and rewrites none; on standard output if not told otherwise."""
    return Console(file=stream or sys.stdout, markup=False, highlight=False, emoji=False, soft_wrap=True)


def visible(text: str, *, lines: bool = False) -> str:
    """Return the text with everything escaped that a terminal would obey instead of showing; with `lines`, line ends
    and tabs stay."""
    kept = "\n\t" if lines else ""
    if text.isprintable():
        return text
    if lines:
        text = text.replace("\r\n", "\n")
    return "".join(
        character if character.isprintable() or character in kept else _escaped(character) for character in text
    )


def age(time: datetime, now: datetime) -> str:
    """Return how long ago that was, in the largest unit that it fills."""
    seconds = max(int((now - time).total_seconds()), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def letters_of(count: int, kind: str = "") -> str:
    """Return the count in words: `1 dead letter`, `1,204 open dead letters`."""
    return f"{count:,} {kind}{'dead letter' if count == 1 else 'dead letters'}"


def next_commands(*commands: str) -> str:
    """Return the commands that may be typed next, a line each."""
    return "\n".join(f"{'Next:' if place == 0 else '':5} {command}" for place, command in enumerate(commands))


def short_id(event_id: str) -> str:
    """Return the end of an id, by which people name it."""
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
            said(letter),
        )
        for letter in letters
    )
    print_table(console, _LETTER_COLUMNS, rows)


def print_candidates(console: Console, letters: Sequence[Dead], now: datetime) -> None:
    """Print some of the letters that an id's end may mean, where there are any."""
    if letters:
        print_letters(console, letters[:CANDIDATES], now)
    if len(letters) > CANDIDATES:
        console.print(f"… and {len(letters) - CANDIDATES:,} more")


def said(letter: Dead) -> str:
    """Return the error in one line."""
    return f"{letter.error_type}: {letter.error_message}" if letter.error_message else letter.error_type


def decided(decision: Decision, now: datetime) -> str:
    """Return who decided what, when and why: `redriven by ann@host 3 min ago: fixed in v43`."""
    done = "redriven" if isinstance(decision, Redriven) else "discarded"
    note = f": {decision.note}" if decision.note else ""
    return visible(f"{done} by {decision.actor} {age(decision.time, now)} ago{note}")


def print_table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: fitted to a terminal; in a pipe whole, so that grep finds all."""
    shown = [[visible(cell) for cell in row] for row in rows]
    if console.is_terminal:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(
                column.title, justify="right" if column.right else "left", no_wrap=column.narrow, overflow="ellipsis"
            )
        for row in shown:
            table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
        console.print(table, soft_wrap=False)
        return
    lines = [[column.title for column in columns], *shown]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        cells = zip(line, widths, columns, strict=True)
        aligned = [cell.rjust(width) if column.right else cell.ljust(width) for cell, width, column in cells]
        console.file.write("  ".join(aligned).rstrip() + "\n")


def group_to_json(group: Group) -> dict[str, Any]:
    """Return a row of the summary as JSON has it."""
    return {
        "count": group.count,
        "event": group.event_name,
        "queue": group.queue,
        "error": group.error_type,
        "oldest": timestamp(group.oldest),
        "newest": timestamp(group.newest),
    }


def letter_to_json(letter: Dead) -> dict[str, Any]:
    """Return a row of a list as JSON has it."""
    return {
        "number": letter.number,
        "id": letter.event_id,
        "event": letter.event_name,
        "queue": letter.queue,
        "reason": letter.reason,
        "error": {"type": letter.error_type, "message": letter.error_message},
        "attempts": letter.attempts,
        "time": timestamp(letter.time),
    }


def print_json(documents: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line, in ASCII: no terminal finds anything to obey in it."""
    for document in documents:
        sys.stdout.write(json.dumps(document).replace("\x7f", "\\u007f") + "\n")


def _escaped(character: str) -> str:
    code = ord(character)
    if character == "\n":
        return "\\n"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
