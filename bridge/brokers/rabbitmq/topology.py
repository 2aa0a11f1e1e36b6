"""The objects on RabbitMQ as data: names, exchanges, queues and bindings. Declares and removes them, and decides
nothing else.

Everything is durable and the same on every version from 3.10. What depends on a version belongs in an operator's
policies: RabbitMQ takes unknown arguments and holds every later declaration to them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aio_pika.abc import AbstractChannel
from aiormq.exceptions import AMQPError, ChannelAccessRefused, ChannelPreconditionFailed

from bridge.brokers.contract import DELIVERY_LIMIT
from bridge.brokers.rabbitmq.ladder import LEVELS, to_event, to_queue
from bridge.errors import BrokerRefused
from bridge.queues import Queue

LADDER_DELIVERY_LIMIT = 1_000_000  # -1 would mean "at once" on RabbitMQ 3.10

_ANY_DELAY = "*." * LEVELS


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one namespace."""

    namespace: str

    @property
    def events(self) -> str:
        """The exchange that events are published to by name."""
        return f"{self.namespace}.events"

    @property
    def rest(self) -> str:
        """The exchange of what no pattern took."""
        return f"{self.namespace}.rest"

    @property
    def delay_out(self) -> str:
        """The exchange of what left the ladder."""
        return f"{self.namespace}.delay.out"

    @property
    def delay_rest(self) -> str:
        """The exchange of what left the ladder and no pattern took."""
        return f"{self.namespace}.delay.rest"

    @property
    def delay_nowhere(self) -> str:
        """The exchange and the queue of what left the ladder and no queue takes."""
        return f"{self.namespace}.delay.nowhere"

    @property
    def dead_letters(self) -> str:
        """The exchange of dead letters."""
        return f"{self.namespace}.dlx"

    @property
    def ledger(self) -> str:
        """The stream of dead letters and decisions."""
        return f"{self.namespace}.dead"

    @property
    def unrouted(self) -> str:
        """The exchange and the queue of what even the ledger did not take: anything in it is a fault."""
        return f"{self.namespace}.unrouted"

    @property
    def deciding(self) -> str:
        """The queue that whoever decides about dead letters holds exclusively."""
        return f"{self.namespace}.deciding"

    def queue(self, name: str) -> str:
        """The queue of a queue."""
        return f"{self.namespace}.q.{name}"

    def delay(self, level: int) -> str:
        """The exchange and the queue of a level of the ladder."""
        return f"{self.namespace}.delay.{level:02}"

    def below(self, level: int) -> str:
        """The exchange that a level hands its messages to."""
        return self.delay(level - 1) if level else self.delay_out


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange to be declared."""

    name: str
    type: str = "topic"
    alternate: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What it is declared with."""
        return {"alternate-exchange": self.alternate} if self.alternate else {}


@dataclass(frozen=True, slots=True)
class AmqpQueue:
    """A queue to be declared."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binding:
    """A queue or an exchange bound to an exchange."""

    source: str
    target: str
    pattern: str
    to_exchange: bool = False


Declaration = Exchange | AmqpQueue | Binding


def declarations(names: Names, queues: Sequence[Queue]) -> Iterator[Declaration]:
    """Yield all that a namespace with these queues needs, each after what it refers to."""
    yield Exchange(names.unrouted, "fanout")
    yield AmqpQueue(names.unrouted, {"x-queue-type": "quorum"})
    yield Binding(names.unrouted, names.unrouted, "")
    yield Exchange(names.dead_letters, alternate=names.unrouted)
    yield AmqpQueue(names.ledger, {"x-queue-type": "stream"})
    yield Binding(names.dead_letters, names.ledger, "#")
    yield Exchange(names.rest)
    yield Exchange(names.events, alternate=names.rest)
    yield from _nowhere(names)
    yield Exchange(names.delay_rest, alternate=names.delay_nowhere)
    yield Exchange(names.delay_out, alternate=names.delay_rest)
    yield from _ladder(names)
    for queue in queues:
        yield from _queue(names, queue)


def _nowhere(names: Names) -> Iterator[Declaration]:
    """What the ladder finds no queue for goes to the ledger by a queue of its own, where it does not stay: RabbitMQ
    before 4.0 must not hand on to a stream and to queues from one place; see `RabbitPublisher`."""
    yield Exchange(names.delay_nowhere, "fanout")
    yield AmqpQueue(names.delay_nowhere, _kept(names.dead_letters, LADDER_DELIVERY_LIMIT, time_to_live=0))
    yield Binding(names.delay_nowhere, names.delay_nowhere, "")


def _ladder(names: Names) -> Iterator[Declaration]:
    for level in range(LEVELS):
        skipped = "*." * (LEVELS - 1 - level)
        yield Exchange(names.delay(level))
        yield AmqpQueue(names.delay(level), _kept(names.below(level), LADDER_DELIVERY_LIMIT, time_to_live=2**level))
        yield Binding(names.delay(level), names.delay(level), f"{skipped}1.#")
        yield Binding(names.delay(level), names.below(level), f"{skipped}0.#", to_exchange=True)


def _queue(names: Names, queue: Queue) -> Iterator[Declaration]:
    name = names.queue(queue.name)
    arguments = _kept(names.dead_letters, DELIVERY_LIMIT) | {"x-dead-letter-routing-key": queue.name}
    yield AmqpQueue(name, arguments)
    yield Binding(names.delay_out, name, _ANY_DELAY + to_queue(queue.name))
    for pattern in queue.patterns:
        yield Binding(names.events, name, pattern)
        yield Binding(names.delay_out, name, _ANY_DELAY + to_event(pattern))
    if queue.catch_all:
        yield Binding(names.rest, name, "#")
        yield Binding(names.delay_rest, name, _ANY_DELAY + to_event("#"))


def _kept(next_exchange: str, delivery_limit: int, time_to_live: int | None = None) -> dict[str, Any]:
    """The arguments of a quorum queue that hands on what it gives up only once it is safe there: at-least-once is
    at-most-once unless the overflow is reject-publish."""
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


async def declare(channel: AbstractChannel, names: Names, queues: Sequence[Queue]) -> None:
    """Declare everything. Raise `BrokerRefused` where something of a name exists and differs, or where the user may
    not; the channel is closed then."""
    for declaration in declarations(names, queues):
        try:
            await declare_one(channel, declaration)
        except (ChannelPreconditionFailed, ChannelAccessRefused) as error:
            raise BrokerRefused(f"RabbitMQ refuses {named(declaration)}: {said(error)}") from error


async def declare_one(channel: AbstractChannel, declaration: Declaration) -> None:
    """Declare one of them. Raise what aiormq raises; the channel is closed then."""
    match declaration:
        case Exchange(name=name, type=kind, arguments=arguments):
            await channel.declare_exchange(name, kind, durable=True, arguments=arguments)
        case AmqpQueue() as queue:
            await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
        case Binding(source=source, target=target, pattern=pattern, to_exchange=True):
            await (await channel.get_exchange(target, ensure=False)).bind(source, pattern)
        case Binding(source=source, target=target, pattern=pattern):
            await (await channel.get_queue(target, ensure=False)).bind(source, pattern)


def objects(names: Names, queues: Sequence[Queue]) -> list[AmqpQueue | Exchange]:
    """Return all that has a name in a namespace with these queues."""
    return [each for each in declarations(names, queues) if not isinstance(each, Binding)]


async def remove(channel: AbstractChannel, objects: Sequence[AmqpQueue | Exchange]) -> None:
    """Delete these objects, with what they hold. One after the other: RabbitMQ 3.10 closes a connection that deletes
    what is bound to each other at the same time."""
    for each in objects:
        if isinstance(each, AmqpQueue):
            await channel.queue_delete(each.name)
        else:
            await channel.exchange_delete(each.name)


async def message_count(channel: AbstractChannel, queue: str) -> int:
    """Return how many messages are ready in a queue. Raise `ChannelNotFoundEntity` where there is no such queue; the
    channel is closed then."""
    declared = await (await channel.get_queue(queue, ensure=False)).declare()  # passively: it asks, and makes nothing
    return declared.message_count or 0


def said(error: AMQPError) -> str:
    """Return what RabbitMQ said, in its words."""
    return " ".join(str(argument) for argument in error.args if argument is not None) or type(error).__name__


def named(declaration: Declaration) -> str:
    """Return what it is called in a message."""
    match declaration:
        case Exchange(name=name):
            return f"exchange '{name}'"
        case AmqpQueue(name=name):
            return f"queue '{name}'"
        case Binding(source=source, target=target, pattern=pattern):
            return f"the binding of '{target}' to '{source}' by '{pattern}'"
