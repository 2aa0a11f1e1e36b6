"""Attempts as text for people."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.console import Console

from bridge.console.terminal import Column, print_table
from bridge.event import local_time
from bridge.history import Entry
from bridge.progress_records import ProgressEntry

_COLUMNS = (
    Column("settled", narrow=True),
    Column("event"),
    Column("id", narrow=True),
    Column("queue", narrow=True),
    Column("attempt", right=True, narrow=True),
    Column("end", narrow=True),
    Column("took", right=True, narrow=True),
    Column("worker"),
    Column("error"),
)


def print_entries(console: Console, entries: Iterable[Entry]) -> None:
    """Print a row for each attempt."""
    print_table(console, _COLUMNS, _rows(entries))


def moment_text(time: datetime) -> str:
    """Return a time in the local time zone, to the second."""
    return f"{local_time(time):%Y-%m-%d %H:%M:%S}"


def took_text(seconds: float) -> str:
    """Return a duration in milliseconds or seconds."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def worker_text(entry: Entry) -> str:
    """Return the worker and the child of an attempt: `web1:4711/4720`."""
    child = "" if entry.child is None else f"/{entry.child}"
    return f"{entry.host}:{entry.pid}{child}"


def error_text(entry: Entry) -> str:
    """Return the error of an attempt, with the reason of a dead letter before it; empty after a success. The type is
    left out if it only repeats the end."""
    error_type = None if entry.error_type == entry.end else entry.error_type
    error = ": ".join(filter(None, (error_type, entry.error_message)))
    return " · ".join(filter(None, (entry.reason, error)))


def sentence(entry: Entry) -> str:
    """Return an attempt as a line of a story."""
    due = "" if entry.due is None else f", due again at {moment_text(entry.due)}"
    release = "" if entry.release is None else f", release {entry.release}"
    error = error_text(entry)
    took = f"took {took_text(entry.seconds)} in" if entry.began else "did not begin in"
    return (
        f"{entry.end} in queue {entry.queue}: attempt {entry.attempt} {took}"
        f" {worker_text(entry)}{release}{due}{f': {error}' if error else ''}"
    )


def progress_sentence(entry: ProgressEntry) -> str:
    """Return a progress as a line of a story."""
    return f"runs in queue {entry.queue}: attempt {entry.attempt} in {entry.host}:{entry.pid}: {entry.progress}"


def _rows(entries: Iterable[Entry]) -> Iterator[tuple[str, ...]]:
    for entry in entries:
        yield (
            moment_text(entry.time),
            entry.name,
            entry.id,
            entry.queue,
            str(entry.attempt),
            entry.end,
            took_text(entry.seconds) if entry.began else "",
            worker_text(entry),
            error_text(entry),
        )
