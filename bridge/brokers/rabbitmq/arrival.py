"""What to do with a message that arrived in a queue: ours, a foreign publisher's, or one that came too early. Pure.

Anyone may publish to our exchanges, so nothing that a message carries is taken on trust.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pamqp.commands import Basic

from bridge.attempt import Error
from bridge.brokers.rabbitmq.ladder import destination
from bridge.brokers.rabbitmq.wire import DUE, ENVELOPE, due_of
from bridge.envelope import Envelope, decode_head
from bridge.errors import UnreadableEnvelope
from bridge.event import Event, event_id
from bridge.ledger import Letter
from bridge.topics import is_name

MAX_ATTRIBUTE = 255
UNKNOWN_TYPE = "application/octet-stream"
FOREIGN_SOURCE = "amqp"


@dataclass(frozen=True, slots=True)
class HandOut:
    """An event to be replayed."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class PutBack:
    """It goes into its queue once more, as a message of our own, not before it is due."""

    envelope: Envelope
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Bury:
    """It goes to the ledger without a replay."""

    letter: Letter


Arrival = HandOut | PutBack | Bury


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message as it came out of a queue, and the time and randomness to judge it by."""

    queue: str
    routing_key: str
    properties: Basic.Properties
    body: bytes
    now: datetime
    randomness: bytes

    @property
    def headers(self) -> dict[str, Any]:
        """The message's headers; empty where it has none."""
        return self.properties.headers or {}


def judge(message: Arrived) -> Arrival:
    """Return what to do with the message."""
    try:
        envelope = _own(message) if ENVELOPE in message.headers else foreign(message)
    except UnreadableEnvelope as error:
        return Bury(unreadable(message, error))
    if not is_name(envelope.event.name):
        return Bury(_no_event(message, envelope))
    if ENVELOPE not in message.headers or not message.properties.message_id:
        return PutBack(envelope)  # what others call a message id need not tell its redelivery from another message
    if DUE in message.headers:
        due = due_of(message.headers)
        if due is not None and due > message.now:
            return PutBack(envelope, due)
    return HandOut(envelope)


def foreign(message: Arrived) -> Envelope:
    """Return the envelope of a message that came without one. Its name may be no event name."""
    properties = message.properties
    moment = time_of(properties, message.now)
    event = Event(
        id=_attribute(properties.message_id) or event_id(message.now, message.randomness),
        name=_name(message),
        source=_attribute(properties.app_id) or FOREIGN_SOURCE,
        time=moment,
        content_type=_attribute(properties.content_type) or UNKNOWN_TYPE,
        data=message.body,
    )
    return Envelope(event, round_began=message.now)


def unreadable(message: Arrived, error: UnreadableEnvelope) -> Letter:
    """Return the letter of a message whose envelope this program cannot read: its head is kept as it came."""
    head = message.headers[ENVELOPE]
    unread = bytes(head).decode(errors="replace") if isinstance(head, bytes | bytearray) else str(head)
    envelope = foreign(message)
    envelope = replace(envelope, event=replace(envelope.event, id=_id_in(unread) or envelope.event.id))
    return Letter(message.now, message.queue, "unreadable", envelope, Error("unreadable", str(error)), unread=unread)


def time_of(properties: Basic.Properties, otherwise: datetime) -> datetime:
    """Return the message's own time in UTC, where it has one."""
    stamp = properties.timestamp
    if not isinstance(stamp, datetime):
        return otherwise
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)


def _own(message: Arrived) -> Envelope:
    head = message.headers[ENVELOPE]
    if not isinstance(head, str | bytes | bytearray):
        raise UnreadableEnvelope(f"the header {ENVELOPE} is no text but {type(head).__name__}")
    return decode_head(head if isinstance(head, str) else bytes(head), message.body)


def _no_event(message: Arrived, envelope: Envelope) -> Letter:
    said = f"{envelope.event.name!r:.200} is no event name: expected dotted words of A-Z a-z 0-9 _ -"
    return Letter(message.now, message.queue, "not an event", envelope, Error("not an event", said))


def _name(message: Arrived) -> str:
    """The event name: the routing key, which on the ladder has the delay before it. Ours, and they alone, carry it as
    their type, since their key may be a queue's."""
    if ENVELOPE in message.headers and isinstance(message.properties.message_type, str):
        return message.properties.message_type
    bound_for = destination(message.routing_key)
    return bound_for[2:] if bound_for is not None and bound_for.startswith("e.") else message.routing_key


def _id_in(head: str) -> str | None:
    """The event's id in a head of another version, where it can be made out."""
    try:
        fields = json.loads(head)
    except (ValueError, RecursionError):
        return None
    return _attribute(fields.get("id")) if isinstance(fields, dict) else None


def _attribute(value: object) -> str | None:
    """The value where it is safe in a header of a request: printable ASCII, not too long."""
    if isinstance(value, str) and 0 < len(value) <= MAX_ATTRIBUTE and value.isascii() and value.isprintable():
        return value
    return None
