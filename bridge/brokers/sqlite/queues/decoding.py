"""Decodes a row to the event that a consumer hands out, or to the dead letter that it becomes instead. No SQL."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from bridge.attempt import Error
from bridge.brokers.contract.consuming import DELIVERY_LIMIT
from bridge.envelope import Envelope, decode_head, id_in
from bridge.errors import UnreadableEnvelope
from bridge.event import Event
from bridge.handling import Priority
from bridge.ledger import Letter
from bridge.queues import lane_of
from bridge.settlement import Reason
from bridge.topics import is_name


class Stored(NamedTuple):
    """A row as it was read. `deliveries`: the earlier ones without a settlement."""

    queue: str
    number: int
    retries: int
    deliveries: int
    name: str
    head: str
    data: bytes


def stored(queue: str, number: int, retries: int, deliveries: int, name: bytes, head: bytes, data: bytes) -> Stored:
    """Return a row whose text columns were read as bytes."""
    return Stored(queue, number, retries, deliveries, text(name), text(head), data)


def text(column: bytes) -> str:
    """Return the text of a column, with backslash escapes for bytes that are not UTF-8."""
    return column.decode(errors="backslashreplace")


class Taken(NamedTuple):
    """A row that this consumer holds. `deliveries`: those without a settlement, this one included. `lane`: the name
    of its lane. `ordered`: it is the head of an ordered queue."""

    queue: str
    number: int
    retries: int
    deliveries: int
    envelope: Envelope
    lane: str
    ordered: bool


def read(row: Stored, lane: str = "", *, ordered: bool = False) -> Taken | Letter:
    """Return the event to hand out, or the letter that the row becomes if it cannot be handed out. `lane` is the name
    of the event's lane, `ordered` whether its queue is an ordered one."""
    try:
        envelope = decode_head(row.head, row.data)
    except UnreadableEnvelope as error:
        return _unreadable(row, error)
    if row.deliveries >= DELIVERY_LIMIT:
        return _letter(row, "delivery limit", f"delivered {row.deliveries} times without a settlement", envelope)
    if not _is_name(envelope.event.name):
        return _letter(row, "not an event", f"{envelope.event.name!r:.200} is no event name", envelope)
    return Taken(row.queue, row.number, row.retries, row.deliveries + 1, envelope, lane, ordered)


_is_name = lru_cache(maxsize=1024)(is_name)


def lane_in(head: bytes) -> Priority:
    """Return the lane of an event by its head; the middle one if the head cannot be read."""
    try:
        return lane_of(decode_head(head, b"").event.handling)
    except UnreadableEnvelope:
        return Priority.NORMAL


def unroutable(row: Stored) -> Letter:
    """Return the letter for an event that is due but that no queue takes."""
    try:
        envelope = decode_head(row.head, row.data)
    except UnreadableEnvelope as error:
        return _unreadable(row, error)
    return _letter(row, "unroutable", f"due, and no queue takes {row.name!r}", envelope)


def _unreadable(row: Stored, error: UnreadableEnvelope) -> Letter:
    """Return a letter with the known attributes of the event, and its unread head unchanged."""
    now = datetime.now(UTC)
    event = Event(id_in(row.head) or str(row.number), row.name, "", now, "application/octet-stream", row.data)
    return _letter(row, "unreadable", str(error), Envelope(event, round_began=now), unread=row.head)


def _letter(row: Stored, reason: Reason, message: str, envelope: Envelope, unread: str | None = None) -> Letter:
    error = Error(reason, message)
    return Letter(datetime.now(UTC), row.queue, reason, envelope, error, unread=unread)
