"""A publication: one message to RabbitMQ as a value, with its destination and its time. `Sender` publishes it. Pure:
clock readings are passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from bridge.brokers.rabbitmq.topology.delay_ladder import climb, to_event, to_queue
from bridge.brokers.rabbitmq.topology.messages import (
    DECISION_KEY,
    LETTER_KEY,
    Message,
    delayed,
    envelope_message,
    letter_message,
)
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.envelope import Envelope
from bridge.errors import TooLarge
from bridge.event import after
from bridge.foreign_messages.source import ForeignSource
from bridge.handling import Priority
from bridge.ledger import Letter
from bridge.queues import lane_of


@dataclass(frozen=True, slots=True)
class ByName:
    """The destination: this lane of every queue that takes the event's name."""

    name: str
    lane: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class IntoQueue:
    """The destination: this lane of one queue."""

    queue: str
    lane: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class IntoLedger:
    """The destination: the stream of dead letters and decisions, with this routing key."""

    routing_key: str


@dataclass(frozen=True, slots=True)
class IntoLog:
    """The destination: the stream of a log."""

    stream: str


@dataclass(frozen=True, slots=True)
class IntoMailbox:
    """The destination: this lane of a mailbox."""

    mailbox: str
    lane: Priority


@dataclass(frozen=True, slots=True)
class IntoForeignQueue:
    """The destination: a queue that is none of ours, by RabbitMQ's default exchange."""

    queue: str


@dataclass(frozen=True, slots=True)
class Due:
    """A time of this machine's clock before which an event is not delivered; exact to the second."""

    moment: datetime


@dataclass(frozen=True, slots=True)
class Wait:
    """A reading of the steady clock, which cannot be set, before which an event is not delivered; up to 12.5 % late."""

    until: float


@dataclass(frozen=True, slots=True)
class Publication:
    """A message, its destination and its time (None: now).

    `subject` names it in errors. `written_within` writes the message with a header for a frame of so many bytes. A
    *patient* publication replaces a delivery: once written, its confirm is awaited as long as the connection lasts,
    because publishing it again would run the event twice.
    """

    message: Message
    destination: ByName | IntoQueue | IntoLedger | IntoLog | IntoMailbox | IntoForeignQueue
    subject: str
    event_id: str = ""
    when: Due | Wait | None = None
    patient: bool = False
    written_within: Callable[[int], Message] | None = field(default=None, compare=False)

    def changed(self, change: Callable[[Message], Message]) -> "Publication":
        """Return the publication with the message changed, also when it is written for a smaller frame."""
        written = self.written_within
        within = None if written is None else lambda frame: change(written(frame))
        return replace(self, message=change(self.message), written_within=within)

    def fitting(self, frame: int) -> "Publication":
        """Return the publication with a message whose header fits into a frame of this many bytes. Raise `TooLarge`."""
        if self.message.header_within(frame):
            return self
        if self.written_within is None:
            raise TooLarge(f"{self.subject}: its header does not fit into a frame of {frame} bytes (frame_max)")
        return replace(self, message=self.written_within(frame))


def event_by_name(envelope: Envelope, due: datetime | None = None) -> Publication:
    """Return the publication of an event to every queue that takes its name."""
    return _of_event(envelope, ByName(envelope.event.name, _lane(envelope)), _due(due))


def into_queue(envelope: Envelope, queue: str, due: datetime | None = None) -> Publication:
    """Return the publication of an event to one queue."""
    return _of_event(envelope, IntoQueue(queue, _lane(envelope)), _due(due))


def put_back(envelope: Envelope, queue: str, due: datetime | None) -> Publication:
    """Return the publication that replaces a delivery of its own queue unchanged, now or when it is due."""
    return replace(into_queue(envelope, queue, due), patient=True)


def retry(envelope: Envelope, queue: str, wait: timedelta, now: float) -> Publication:
    """Return the publication that replaces a delivery after a wait. `now` is a reading of the steady clock."""
    when = Wait(now + wait.total_seconds())
    return replace(_of_event(envelope, IntoQueue(queue, _lane(envelope)), when), patient=True)


def dead_letter(letter: Letter) -> Publication:
    """Return the publication that replaces a delivery by an entry in the ledger."""
    event_id = letter.envelope.event.id
    destination = IntoLedger(f"{LETTER_KEY}{letter.queue}")
    message = letter_message(letter)
    written = partial(letter_message, letter)
    return Publication(message, destination, f"event {event_id}", event_id, patient=True, written_within=written)


def decision(message: Message, letter: int) -> Publication:
    """Return the publication of a decision about the dead letter of this number to the ledger."""
    return Publication(message, IntoLedger(DECISION_KEY), f"the decision on letter {letter}")


def log_batch(data: bytes, stream: str) -> Publication:
    """Return the publication of a batch of records to the stream of a log."""
    return Publication(Message(data, {}), IntoLog(stream), f"log '{stream}'")


def to_mailbox(body: bytes, mailbox: str, priority: Priority) -> Publication:
    """Return the publication of a message to a mailbox."""
    return Publication(Message(body, {}), IntoMailbox(mailbox, priority), f"the message to mailbox '{mailbox}'")


def failure_of_foreign(source: ForeignSource, letter: Letter) -> Publication:
    """Return the publication of a message that has failed for good to the queue of errors of an older bridge."""
    event = letter.envelope.event
    error = letter.error.message or letter.error.type
    message = Message(source.failure(event.data, error, letter.time), {})
    subject = f"event {event.id}, a failure for the queue '{source.error_queue}'"
    return Publication(message, IntoForeignQueue(source.error_queue), subject, event.id, patient=True)


class Addressed(NamedTuple):
    """A message with its exchange and routing key."""

    message: Message
    exchange: str
    routing_key: str


def addressed(publication: Publication, names: Names, moment: datetime, now: float) -> Addressed:
    """Return the publication as it is published at this moment (now by the steady clock): directly, or by the delay
    ladder if time remains until it is due."""
    match publication.destination:
        case IntoLedger(routing_key=routing_key):
            return Addressed(publication.message, names.dead_letters, routing_key)
        case IntoLog(stream=stream):
            return Addressed(publication.message, names.direct, stream)
        case IntoMailbox(mailbox=mailbox, lane=lane):
            return Addressed(publication.message, names.mailboxes, names.mailbox(mailbox, lane))
        case IntoForeignQueue(queue=queue):
            return Addressed(publication.message, "", queue)
        case ByName(name=name, lane=lane):
            direct, target = Addressed(publication.message, names.events_of(lane), name), to_event(name, lane)
        case IntoQueue(queue=queue, lane=lane):
            key = names.queue(queue, lane)
            direct, target = Addressed(publication.message, names.direct, key), to_queue(queue, lane)
    match publication.when:
        case None:
            return direct
        case Due(moment=due):
            wait, exact = due - moment, True
        case Wait(until=until):
            wait, exact = timedelta(seconds=until - now), False
    step = climb(wait, target, exact=exact)
    if step is None:
        return direct
    message = delayed(publication.message, moment, after(moment, wait.total_seconds()))
    return Addressed(message, names.delay(step.level), step.routing_key)


def _of_event(envelope: Envelope, destination: ByName | IntoQueue, when: Due | Wait | None) -> Publication:
    event_id = envelope.event.id
    written = partial(envelope_message, envelope)
    message = envelope_message(envelope)
    return Publication(message, destination, f"event {event_id}", event_id, when, written_within=written)


def _lane(envelope: Envelope) -> Priority:
    return lane_of(envelope.event.handling)


def _due(due: datetime | None) -> Due | None:
    return None if due is None else Due(due)
