"""Records of the log of the history that have many rows of one worker, each a fact about one event. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from bridge.json_fields import count, cut_text, items
from bridge.logs import Content

MAX_TEXT = 1000
"""Characters of the longest text in a row."""

T = TypeVar("T")


def rows_record(kind: str, rows: Sequence[Sequence[Any]], host: str, pid: int) -> Content:
    """Return the record of these rows, written by the worker with this host and process id."""
    return {"kind": kind, "host": host, "pid": pid, "rows": rows}


def read_rows(kind: str, record: Content, read: Callable[[object, str, int], T]) -> Iterator[T]:
    """Yield what `read` makes of each row, its host and its process id, oldest first. Rows that cannot be read are left
    out, as are records of another kind."""
    if record.get("kind") != kind:
        return
    try:
        host, pid, rows = cut_text(record["host"], MAX_TEXT), count(record["pid"], 2**31), items(record["rows"])
    except (KeyError, ValueError):
        return
    for row in rows:
        try:
            yield read(row, host, pid)
        except (KeyError, IndexError, ValueError, OverflowError):
            continue
