"""The history: what became of events, as values. Workers write it to the log `history`. Pure.

A record of the log has attempts that one worker settled within a moment, one row each. A row has only what its attempt
has, because a busy worker writes thousands of rows a second.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.attempt import encodable
from bridge.failures.fingerprint import Fingerprint, fingerprint_of, place_of
from bridge.json_fields import any_text, count, cut_text, items, mapping, optional, seconds
from bridge.log_rows import MAX_TEXT, read_rows, rows_record
from bridge.logs import Content
from bridge.moments import Settled
from bridge.settlement import Ack, DeadLetter, Drop, Halt, RetryAfter
from bridge.topics import matches

ATTEMPTS = "attempts"
"""The `kind` of a record with attempts. Readers skip records of other kinds."""

MAX_MESSAGE = 200
"""The most characters of an error's message. The ledger has the whole error of a dead letter."""

DELIVERED, RETRIED, SNOOZED, HALTED, DEAD = "delivered", "retried", "snoozed", "halted", "dead"

GOES_ON = frozenset({RETRIED, SNOOZED, HALTED})
"""The ends of an attempt after which the event stays in its queue."""

EXPIRED, CANCELLED = "expired", "cancelled"

ENDS = (DELIVERED, RETRIED, SNOOZED, HALTED, DEAD, EXPIRED, CANCELLED)
"""The words for the end of an attempt. A later version may have others."""

_OF_REASON = frozenset({EXPIRED, CANCELLED})
"""The reasons of a dead letter that are ends of their own."""

_MOST_SECONDS = 10.0**11


@dataclass(frozen=True, slots=True)
class Entry:
    """One settled attempt. `time` is when it was settled, by the clock of its worker; `seconds` is the duration of the
    replay.

    `end` is what became of the event in this queue: delivered, retried, snoozed, halted, dead, expired, cancelled, or
    the word of a later version. `due` is the earliest time of the next attempt, `reason` the reason of a dead letter,
    `error_place` the app's own frame that failed (`place_of`).
    """

    time: datetime
    seconds: float
    id: str
    name: str
    queue: str
    attempt: int
    end: str
    host: str
    pid: int
    child: int | None = None
    key: str | None = None
    release: str | None = None
    due: datetime | None = None
    reason: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_place: str | None = None

    @property
    def fingerprint(self) -> Fingerprint | None:
        """The fingerprint of the error; None without one."""
        if self.error_type is None:
            return None
        return fingerprint_of(self.error_type, self.error_message or "", self.error_place)

    @property
    def is_final(self) -> bool:
        """True if the event has ended in this queue."""
        return self.end not in GOES_ON

    @property
    def began(self) -> bool:
        """False if the event was cancelled or expired before it had a child."""
        return self.end not in _OF_REASON or self.seconds > 0


def end_of(settlement: object) -> str:
    """Return the word for what a settlement makes of an event. An unknown settlement is named after its type."""
    match settlement:
        case Ack():
            return DELIVERED
        case RetryAfter(snoozed=True):
            return SNOOZED
        case RetryAfter():
            return RETRIED
        case Halt():
            return HALTED
        case Drop():
            return EXPIRED
        case DeadLetter(reason=reason):
            return reason if reason in _OF_REASON else DEAD
    return type(settlement).__name__.lower()


def row_of(moment: Settled, now: float) -> list[Any]:
    """Return the row of an attempt that was settled `now` (seconds since 1970)."""
    envelope = moment.envelope
    event, attempt, end = envelope.event, envelope.attempt_number, end_of(moment.settlement)
    row = [round(now, 3), round(moment.seconds, 4), event.id, event.name, moment.queue, attempt, end]
    more: dict[str, Any] = {}
    if event.handling.key is not None:
        more["key"] = event.handling.key
    if moment.outcome.release is not None:
        more["release"] = moment.outcome.release
    if moment.child is not None:
        more["child"] = moment.child
    if end != DELIVERED:
        more.update(_of_failure(moment, end, now))
    if more:
        row.append(more)
    return row


def record_of(rows: Sequence[Sequence[Any]], host: str, pid: int) -> Content:
    """Return the record of these rows, written by the worker with this host and process id."""
    return rows_record(ATTEMPTS, rows, host, pid)


def entries_of(record: Content) -> Iterator[Entry]:
    """Yield the attempts of a record, oldest first. Rows that cannot be read are left out, as are other records."""
    return read_rows(ATTEMPTS, record, _entry)


def to_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as a JSON object for people's programs. Fields that it does not have are null."""
    return {
        "time": entry.time.isoformat(),
        "id": entry.id,
        "name": entry.name,
        "key": entry.key,
        "queue": entry.queue,
        "attempt": entry.attempt,
        "end": entry.end,
        "seconds": entry.seconds,
        "due": entry.due and entry.due.isoformat(),
        "reason": entry.reason,
        "error": entry.error_type and {"type": entry.error_type, "message": entry.error_message},
        "release": entry.release,
        "worker": {"host": entry.host, "pid": entry.pid},
        "child": entry.child,
    }


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions that an attempt must meet. A condition that is None holds for every attempt. `name` is a pattern
    of event names; `since` and `until` are limits of the time of the settlement."""

    name: str | None = None
    queue: str | None = None
    key: str | None = None
    end: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, entry: Entry) -> bool:
        """Return whether the attempt meets all conditions."""
        return (
            (self.queue is None or self.queue == entry.queue)
            and (self.end is None or self.end == entry.end)
            and (self.key is None or self.key == entry.key)
            and (self.name is None or matches(self.name, entry.name))
            and (self.since is None or entry.time >= self.since)
            and (self.until is None or entry.time <= self.until)
        )


def _of_failure(moment: Settled, end: str, now: float) -> Mapping[str, Any]:
    """Return the fields that an attempt without success has."""
    settlement, error = moment.settlement, moment.error
    more: dict[str, Any] = {}
    wait = getattr(settlement, "wait", None)
    if isinstance(wait, timedelta):
        more["due"] = round(now + wait.total_seconds(), 3)
    reason = getattr(settlement, "reason", None)
    if isinstance(reason, str) and reason != end:
        more["reason"] = reason
    if error is not None:
        place = place_of(error.traceback)
        texts = (error.type, error.message, *(() if place is None else (place,)))
        more["error"] = [encodable(text[:MAX_MESSAGE]) for text in texts]
    return more


def _entry(row: object, host: str, pid: int) -> Entry:
    time, duration, event, name, queue, attempt, end, *rest = items(row)
    more = mapping(rest[0]) if rest else {}
    error = optional(items, more.get("error")) or [None, None]
    return Entry(
        time=_time(time),
        seconds=seconds(duration, _MOST_SECONDS),
        id=cut_text(event, MAX_TEXT),
        name=cut_text(name, MAX_TEXT),
        queue=cut_text(queue, MAX_TEXT),
        attempt=count(attempt, 2**31),
        end=cut_text(end, MAX_TEXT),
        host=host,
        pid=pid,
        child=optional(lambda value: count(value, 2**31), more.get("child")),
        key=optional(any_text, more.get("key")),
        release=optional(any_text, more.get("release")),
        due=optional(_time, more.get("due")),
        reason=optional(any_text, more.get("reason")),
        error_type=optional(any_text, error[0]),
        error_message=optional(any_text, error[1]),
        error_place=optional(any_text, error[2]) if len(error) > 2 else None,
    )


def _time(value: object) -> datetime:
    return datetime.fromtimestamp(seconds(value, _MOST_SECONDS), UTC)
