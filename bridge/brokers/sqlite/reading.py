"""From a row to what a consumer hands out; or to the dead letter that it becomes instead, and why. No SQL."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge.attempt import Error, encodable
from bridge.brokers.contract import DELIVERY_LIMIT
from bridge.envelope import Envelope, decode_head
from bridge.errors import UnreadableEnvelope
from bridge.event import Event
from bridge.ledger import Letter
from bridge.settlement import Reason
from bridge.topics import is_name


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as it was found. `count`: how often it was delivered before without a settlement."""

    queue: str
    number: int
    retries: int
    count: int
    name: str
    head: str
    data: bytes


def stored(queue: str, number: int, retries: int, count: int, name: bytes, head: bytes, data: bytes) -> Stored:
    """Return a row whose columns were read as the bytes that they are."""
    return Stored(queue, number, retries, count, text(name), text(head), data)


def text(column: bytes) -> str:
    """Return a column of text, what is no UTF-8 spelled out."""
    return column.decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Taken:
    """A row that is held now."""

    queue: str
    number: int
    retries: int
    count: int
    envelope: Envelope


def read(row: Stored) -> Taken | Letter:
    """Return what is handed out, or the letter that this row becomes because it never can be."""
    try:
        envelope = decode_head(row.head, row.data)
    except UnreadableEnvelope as error:
        return _unreadable(row, error)
    if row.count >= DELIVERY_LIMIT:
        return _letter(row, "delivery limit", f"delivered {row.count} times without a settlement", envelope)
    if not is_name(envelope.event.name):
        return _letter(row, "not an event", f"{envelope.event.name!r:.200} is no event name", envelope)
    return Taken(row.queue, row.number, row.retries, row.count + 1, envelope)


def unroutable(row: Stored) -> Letter:
    """Return the letter of an event that is due and that no queue takes."""
    try:
        envelope = decode_head(row.head, row.data)
    except UnreadableEnvelope as error:
        return _unreadable(row, error)
    return _letter(row, "unroutable", f"due, and no queue takes {row.name!r}", envelope)


def _unreadable(row: Stored, error: UnreadableEnvelope) -> Letter:
    """Return a letter with what can be said of the event for certain, and the head as it came."""
    now = datetime.now(UTC)
    event = Event(_id_in(row.head) or str(row.number), row.name, "", now, "application/octet-stream", row.data)
    return _letter(row, "unreadable", str(error), Envelope(event, round_began=now), unread=row.head)


def _letter(row: Stored, reason: Reason, message: str, envelope: Envelope, unread: str | None = None) -> Letter:
    error = Error(reason, message)
    return Letter(datetime.now(UTC), row.queue, reason, envelope, error, unread=unread)


def _id_in(head: str) -> str | None:
    try:
        fields = json.loads(head)
    except (ValueError, RecursionError):
        return None
    found = fields.get("id") if isinstance(fields, dict) else None
    return encodable(found) if isinstance(found, str) else None
