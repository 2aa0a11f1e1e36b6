"""The exchanges, queues and bindings on RabbitMQ as data. Pure; `declaring` declares and removes them.

Everything is durable and the same on every version from 3.10. Settings that depend on a version belong in an operator's
policies: RabbitMQ accepts unknown arguments, and refuses every later declaration that differs in them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from math import ceil
from typing import Any

from bridge.brokers.contract.consuming import DELIVERY_LIMIT
from bridge.brokers.rabbitmq.topology.delay_ladder import LEVELS, to_event, to_queue
from bridge.brokers.rabbitmq.topology.names import LANES, Names
from bridge.handling import Priority
from bridge.logs import Retention
from bridge.queues import Queue
from bridge.site_logs import HISTORY, SITE_LOGS, SiteLog

LADDER_DELIVERY_LIMIT = 1_000_000  # -1 would mean "at once" on RabbitMQ 3.10

ORDERED_DELIVERY_LIMIT = 10_000
"""Deliveries without a settlement of an ordered queue's event: each 20 minutes at the head of a paused queue, or in a
long wait, take one."""

MAILBOX_DELIVERY_LIMIT = 1_000_000_000

HEADS = "heads"
HEADS_RETENTION = Retention(age=timedelta(days=30), size=16 * 1024**2)
"""The log of the retries that wait at the heads of ordered queues. Of each head the last record counts."""

LEAST_SEGMENT = 1024**2
MOST_SEGMENT = 64 * 1024**2
"""Bytes of a segment of a log with a retention. RabbitMQ removes old segments when it starts a new one."""

_ANY_DELAY = "*." * LEVELS


@dataclass(frozen=True, slots=True)
class AmqpExchange:
    """An exchange to be declared."""

    name: str
    type: str = "topic"
    alternate: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the declaration."""
        return {"alternate-exchange": self.alternate} if self.alternate else {}


@dataclass(frozen=True, slots=True)
class AmqpQueue:
    """A queue to be declared."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def is_stream(self) -> bool:
        """True if its messages stay when they have been read."""
        return self.arguments.get("x-queue-type") == "stream"


@dataclass(frozen=True, slots=True)
class Binding:
    """A queue or an exchange bound to an exchange."""

    source: str
    target: str
    pattern: str
    to_exchange: bool = False


Declaration = AmqpExchange | AmqpQueue | Binding


def declarations(names: Names, queues: Sequence[Queue], history: Retention | None = None) -> Iterator[Declaration]:
    """Yield all objects of a namespace with these queues, each after the objects to which it refers. Without `history`,
    the log of the history is left out."""
    yield AmqpExchange(names.unrouted, "fanout")
    yield AmqpQueue(names.unrouted, {"x-queue-type": "quorum"})
    yield Binding(names.unrouted, names.unrouted, "")
    yield AmqpExchange(names.dead_letters, alternate=names.unrouted)
    yield AmqpQueue(names.ledger, {"x-queue-type": "stream"})
    yield Binding(names.dead_letters, names.ledger, "#")
    yield AmqpExchange(names.broadcast, "direct")
    yield AmqpExchange(names.calls, "direct")
    yield AmqpExchange(names.answers, "direct")
    yield AmqpQueue(names.question, {"x-queue-type": "quorum"})
    yield AmqpExchange(names.direct, "direct")
    for lane in LANES:
        yield AmqpExchange(names.rest_of(lane))
        yield AmqpExchange(names.events_of(lane), alternate=names.rest_of(lane))
    yield from _nowhere(names)
    yield AmqpExchange(names.delay_rest, alternate=names.delay_nowhere)
    yield AmqpExchange(names.delay_out, alternate=names.delay_rest)
    yield from _ladder(names)
    of_settings = [] if history is None else [SiteLog(HISTORY, history)]
    for log in [*SITE_LOGS, *of_settings]:
        stream = log_stream(names, log.name, log.retention)
        yield stream
        yield Binding(names.direct, stream.name, stream.name)
    for queue in queues:
        yield from _queue(names, queue)
    if any(queue.ordered for queue in queues):
        stream = log_stream(names, HEADS, HEADS_RETENTION)
        yield stream
        yield Binding(names.direct, stream.name, stream.name)


def mailbox_declarations(names: Names, mailboxes: Sequence[str]) -> Iterator[Declaration]:
    """Yield all objects of mailboxes. A message that kills those who fetch it comes back without end: RabbitMQ 4 would
    drop it after 20 deliveries."""
    if mailboxes:
        yield AmqpExchange(names.mailboxes, "direct")
    for mailbox in mailboxes:
        for lane in LANES:
            name = names.mailbox(mailbox, lane)
            limits = {"x-delivery-limit": MAILBOX_DELIVERY_LIMIT, "x-overflow": "reject-publish"}
            yield AmqpQueue(name, {"x-queue-type": "quorum"} | limits)
            yield Binding(names.mailboxes, name, name)


def log_stream(names: Names, name: str, retention: Retention) -> AmqpQueue:
    """Return the stream of a log. RabbitMQ removes whole segments, so one segment is added to a limit of size."""
    arguments: dict[str, Any] = {"x-queue-type": "stream"}
    if retention.is_limited:
        segment = min(max((retention.size or 0) // 4, LEAST_SEGMENT), MOST_SEGMENT)
        arguments["x-stream-max-segment-size-bytes"] = segment
        if retention.size is not None:
            arguments["x-max-length-bytes"] = retention.size + segment
        if retention.age is not None:
            arguments["x-max-age"] = f"{ceil(retention.age.total_seconds())}s"
    return AmqpQueue(names.log(name), arguments)


def log_declarations(names: Names, stream: AmqpQueue) -> list[Declaration]:
    """Return what a log needs, in the order of declaration: the exchange to which its batches are published too."""
    return [AmqpExchange(names.direct, "direct"), stream, Binding(names.direct, stream.name, stream.name)]


def _nowhere(names: Names) -> Iterator[Declaration]:
    """Yield the objects that move delayed events which no queue takes to the ledger. They pass through a queue of their
    own, because RabbitMQ before 4.0 must not dead-letter to a stream and to queues from one queue; see `Sender`."""
    yield AmqpExchange(names.delay_nowhere, "fanout")
    yield AmqpQueue(names.delay_nowhere, _quorum_arguments(names.dead_letters, LADDER_DELIVERY_LIMIT, time_to_live=0))
    yield Binding(names.delay_nowhere, names.delay_nowhere, "")


def _ladder(names: Names) -> Iterator[Declaration]:
    for level in range(LEVELS):
        skipped = "*." * (LEVELS - 1 - level)
        yield AmqpExchange(names.delay(level))
        yield AmqpQueue(
            names.delay(level), _quorum_arguments(names.below(level), LADDER_DELIVERY_LIMIT, time_to_live=2**level)
        )
        yield Binding(names.delay(level), names.delay(level), f"{skipped}1.#")
        yield Binding(names.delay(level), names.below(level), f"{skipped}0.#", to_exchange=True)


def _queue(names: Names, queue: Queue) -> Iterator[Declaration]:
    limit = ORDERED_DELIVERY_LIMIT if queue.ordered else DELIVERY_LIMIT
    arguments = _quorum_arguments(names.dead_letters, limit) | {"x-dead-letter-routing-key": queue.name}
    if queue.ordered:
        name = names.queue(queue.name)
        yield AmqpQueue(name, arguments | {"x-single-active-consumer": True})
        for lane in LANES:
            yield from _routes(names, queue, lane, name)
        return
    for lane in LANES:
        name = names.queue(queue.name, lane)
        yield AmqpQueue(name, arguments)
        yield from _routes(names, queue, lane, name)


def _routes(names: Names, queue: Queue, lane: Priority, name: str) -> Iterator[Binding]:
    """Yield the bindings by which the events of one priority come to the AMQP queue `name`."""
    yield Binding(names.direct, name, names.queue(queue.name, lane))
    yield Binding(names.delay_out, name, _ANY_DELAY + to_queue(queue.name, lane))
    for pattern in queue.patterns:
        yield Binding(names.events_of(lane), name, pattern)
        yield Binding(names.delay_out, name, _ANY_DELAY + to_event(pattern, lane))
    if queue.catch_all:
        yield Binding(names.rest_of(lane), name, "#")
        yield Binding(names.delay_rest, name, _ANY_DELAY + to_event("#", lane))


def _quorum_arguments(next_exchange: str, delivery_limit: int, time_to_live: int | None = None) -> dict[str, Any]:
    """Return the arguments of a quorum queue that removes a dead-lettered message only when the next queue has
    confirmed it. The strategy at-least-once has this effect only with the overflow reject-publish."""
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": delivery_limit,
        "x-dead-letter-exchange": next_exchange,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    if time_to_live is not None:
        arguments["x-message-ttl"] = time_to_live * 1000
    return arguments


def objects(
    names: Names, queues: Sequence[Queue], history: Retention | None = None, mailboxes: Sequence[str] = ()
) -> list[AmqpQueue | AmqpExchange]:
    """Return all exchanges and queues of a namespace with these queues and mailboxes."""
    everything = chain(declarations(names, queues, history), mailbox_declarations(names, mailboxes))
    return [each for each in everything if not isinstance(each, Binding)]


def named(declaration: Declaration) -> str:
    """Return the object's kind and name for a message to people."""
    match declaration:
        case AmqpExchange(name=name):
            return f"exchange '{name}'"
        case AmqpQueue(name=name):
            return f"queue '{name}'"
        case Binding(source=source, target=target, pattern=pattern):
            return f"the binding of '{target}' to '{source}' by '{pattern}'"
