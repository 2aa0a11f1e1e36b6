"""Decides what to do with a message from a queue: an event of the bridge, a foreign message, or one that is not due
yet. Pure.

Any program may publish to the bridge's exchanges, so every part of a message is checked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from pamqp.commands import Basic

from bridge.attempt import Error
from bridge.brokers.rabbitmq.topology.delay_ladder import destination, event_in
from bridge.brokers.rabbitmq.topology.messages import ENVELOPE, still_due
from bridge.envelope import Envelope, decode_head, id_in
from bridge.errors import UnreadableEnvelope
from bridge.event import Event, event_id, plain_id
from bridge.handling import PLAIN, Handling, Priority
from bridge.ledger import Letter
from bridge.topics import is_name

MAX_ATTRIBUTE = 255
UNKNOWN_TYPE = "application/octet-stream"
FOREIGN_SOURCE = "amqp"

HELD = timedelta(seconds=0.25)
"""An event that comes this much too early is held until it is due. The clocks of two machines may differ by that."""


class HandOut(NamedTuple):
    """An event to be replayed, after `early` seconds if it left the delay ladder that much too early."""

    envelope: Envelope
    early: float = 0.0


@dataclass(frozen=True, slots=True)
class PutBack:
    """The message is published to its queue again, as an event of the bridge, now or when it is due."""

    envelope: Envelope
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Bury:
    """The message becomes a dead letter without a replay."""

    letter: Letter


Action = HandOut | PutBack | Bury


class ReceivedMessage(NamedTuple):
    """A message as it was received from a queue, with the time that classifying needs. `randomness` returns random
    bytes; only a message without an id needs them."""

    queue: str
    routing_key: str
    properties: Basic.Properties
    body: bytes
    now: datetime
    randomness: Callable[[], bytes]
    lane: Priority = Priority.NORMAL
    by_name: bool = False
    """True if the message came by an exchange of ours, so that the routing key has the event's name."""

    @property
    def headers(self) -> dict[str, Any]:
        """The message's headers; empty if it has none."""
        return self.properties.headers or {}


def classify(message: ReceivedMessage) -> Action:
    """Return what to do with the message."""
    headers = message.headers
    own = ENVELOPE in headers
    try:
        envelope = _own(headers[ENVELOPE], message.body) if own else foreign(message)
    except UnreadableEnvelope as error:
        return Bury(unreadable(message, error))
    name = envelope.event.name
    if not _is_name(name):
        return Bury(_no_event(message, envelope))
    published_as = _published_as(message.routing_key) if message.by_name else None
    if published_as is not None and published_as != name:
        return Bury(_forged(message, envelope, published_as))
    if not own or not message.properties.message_id:
        return PutBack(envelope)  # a foreign message id may not be unique, so it could not identify a redelivery
    due = still_due(headers, message.now)
    if due is None:
        return HandOut(envelope)
    early = due - message.now
    return HandOut(envelope, early.total_seconds()) if early <= HELD else PutBack(envelope, due)


def foreign(message: ReceivedMessage) -> Envelope:
    """Return a new envelope for a message that has none. Its name may be no valid event name."""
    properties = message.properties
    moment = time_of(properties, message.now)
    event = Event(
        id=_id(message),
        name=_name(message),
        source=_attribute(properties.app_id) or FOREIGN_SOURCE,
        time=moment,
        content_type=_attribute(properties.content_type) or UNKNOWN_TYPE,
        data=message.body,
        handling=PLAIN if message.lane is Priority.NORMAL else Handling(priority=message.lane),
    )
    return Envelope(event, round_began=message.now)


def unreadable(message: ReceivedMessage, error: UnreadableEnvelope) -> Letter:
    """Return the letter for a message whose envelope this program cannot read. It keeps the unread head unchanged."""
    head = message.headers[ENVELOPE]
    unread = bytes(head).decode(errors="replace") if isinstance(head, bytes | bytearray) else str(head)
    envelope = foreign(message)
    envelope = envelope._replace(event=envelope.event._replace(id=id_in(unread) or envelope.event.id))
    return Letter(message.now, message.queue, "unreadable", envelope, Error("unreadable", str(error)), unread=unread)


def time_of(properties: Basic.Properties, otherwise: datetime) -> datetime:
    """Return the message's own time in UTC, or `otherwise` if it has none."""
    stamp = properties.timestamp
    if not isinstance(stamp, datetime):
        return otherwise
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)


def _own(head: object, body: bytes) -> Envelope:
    if isinstance(head, str):
        return decode_head(head, body)
    if isinstance(head, bytes | bytearray):
        return decode_head(bytes(head), body)
    raise UnreadableEnvelope(f"the header {ENVELOPE} is no text but {type(head).__name__}")


def _no_event(message: ReceivedMessage, envelope: Envelope) -> Letter:
    reason = f"{envelope.event.name!r:.200} is no event name: expected dotted words of A-Z a-z 0-9 _ -"
    return Letter(message.now, message.queue, "not an event", envelope, Error("not an event", reason))


def _forged(message: ReceivedMessage, envelope: Envelope, published_as: str) -> Letter:
    reason = f"published as {published_as!r:.200}, but its envelope says {envelope.event.name!r:.200}"
    return Letter(message.now, message.queue, "forged name", envelope, Error("forged name", reason))


@lru_cache(maxsize=1024)
def _published_as(routing_key: str) -> str | None:
    """Return the event name in the routing key, for which RabbitMQ has checked the publisher's permission; None if the
    message was published to one queue."""
    bound_for = destination(routing_key)
    return routing_key if bound_for is None else event_in(bound_for)


_is_name = lru_cache(maxsize=1024)(is_name)


def _name(message: ReceivedMessage) -> str:
    """Return the event name. For an event of the bridge, that is the message type, because the routing key may be a
    queue's name; for others, it is the routing key without the delay ladder's prefix."""
    if ENVELOPE in message.headers and isinstance(message.properties.message_type, str):
        return message.properties.message_type
    bound_for = destination(message.routing_key)
    return (bound_for and event_in(bound_for)) or message.routing_key


def _id(message: ReceivedMessage) -> str:
    """Return the message's own id, or one that is derived from it, or a new one for a message without an id."""
    own = message.properties.message_id
    return plain_id(own) if isinstance(own, str) and own else event_id(message.now, message.randomness())


def _attribute(value: object) -> str | None:
    """Return the value if it is safe in a request header (printable ASCII, not too long), else None."""
    if isinstance(value, str) and 0 < len(value) <= MAX_ATTRIBUTE and value.isascii() and value.isprintable():
        return value
    return None
