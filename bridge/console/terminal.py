"""The output of programs: tables on a terminal, aligned text in a pipe, JSON lines, progress bars.

Cells can hold texts of events and apps, so they are escaped and never parsed as markup.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bridge.console.printable import json_text, printable


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. A `right` column is right-aligned; a `narrow` column is never cut to fit a terminal."""

    title: str
    right: bool = False
    narrow: bool = False


def terminal(stream: TextIO | None = None) -> Console:
    """Return a console on this stream (default: standard output) that prints text unchanged, without markup."""
    return Console(file=stream or sys.stdout, markup=False, highlight=False, emoji=False, soft_wrap=True)


def print_text(console: Console, text: str, style: str = "") -> None:
    """Print a line with its unprintable characters escaped."""
    console.print(Text(printable(text), style=style))


def print_table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. On a terminal, long cells are cut to fit its width; in a pipe they are whole, so that grep finds
    them."""
    shown = [[printable(cell) for cell in row] for row in rows]
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


def print_json_lines(documents: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line to standard output."""
    for document in documents:
        sys.stdout.write(json_text(document) + "\n")


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar if standard error is a terminal. Yield the function that advances the bar by one."""
    console = terminal(sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)
