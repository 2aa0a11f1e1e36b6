"""The progress of running events in the log of the history, as values. Pure.

A record has what the listeners of one worker told within a moment, the newest of each event, one row each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.json_fields import count, cut_text, items, optional, seconds
from bridge.log_rows import MAX_TEXT, read_rows, rows_record
from bridge.logs import Content
from bridge.moments import Progressed
from bridge.status import ProgressStatus

PROGRESS = "progress"
"""The `kind` of a record with progress."""

_MOST = 2.0**63


@dataclass(frozen=True, slots=True)
class ProgressEntry:
    """The progress of an event in a queue, as its listener told it. `time` is by the clock of its worker."""

    time: datetime
    id: str
    name: str
    queue: str
    attempt: int
    progress: ProgressStatus
    host: str
    pid: int


def row_of(moment: Progressed, now: float) -> list[Any]:
    """Return the row of a progress that was told `now` (seconds since 1970)."""
    about = [round(now, 3), moment.id, moment.name, moment.queue, moment.attempt]
    return [*about, moment.done, moment.total, moment.note[:MAX_TEXT]]


def record_of(rows: Sequence[Sequence[Any]], host: str, pid: int) -> Content:
    """Return the record of these rows, written by the worker with this host and process id."""
    return rows_record(PROGRESS, rows, host, pid)


def progress_of(record: Content) -> Iterator[ProgressEntry]:
    """Yield the progress in a record, oldest first. Rows that cannot be read are left out, as are other records."""
    return read_rows(PROGRESS, record, _entry)


def to_json(entry: ProgressEntry) -> dict[str, Any]:
    """Return a progress as a JSON object for people's programs."""
    return {
        "time": entry.time.isoformat(),
        "id": entry.id,
        "name": entry.name,
        "queue": entry.queue,
        "attempt": entry.attempt,
        "progress": asdict(entry.progress),
        "worker": {"host": entry.host, "pid": entry.pid},
    }


def _entry(row: object, host: str, pid: int) -> ProgressEntry:
    time, event, name, queue, attempt, done, total, note = items(row)
    return ProgressEntry(
        time=datetime.fromtimestamp(seconds(time, 10.0**11), UTC),
        id=cut_text(event, MAX_TEXT),
        name=cut_text(name, MAX_TEXT),
        queue=cut_text(queue, MAX_TEXT),
        attempt=count(attempt, 2**31),
        progress=ProgressStatus(_number(done), optional(_number, total), cut_text(note, MAX_TEXT)),
        host=host,
        pid=pid,
    )


def _number(value: object) -> float:
    """Return a number. Raise `ValueError` for anything else, and for one that no listener may tell."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_MOST < value < _MOST:
        raise ValueError(f"expected a number, got {value!r:.100}")
    return float(value)
