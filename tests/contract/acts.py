"""Steps that the contract tests share: make an event, take a delivery, await a condition."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from bridge.attempt import Error
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Backlog, Consumer, Delivery
from bridge.envelope import Envelope
from bridge.event import Event
from bridge.ledger import Entry, Letter
from tests.events import new_event
from tests.limits import PATIENCE

T = TypeVar("T")

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def now() -> datetime:
    """Return the time of this machine's clock."""
    return datetime.now(UTC)


AT_ONCE = timedelta()

SOON = timedelta(seconds=0.95)
"""A short wait that every broker observes: the steps of RabbitMQ's delay ladder are whole seconds."""


def soon(wait: timedelta = SOON) -> datetime:
    """Return a due time in the near future."""
    return now() + wait


def an_event(
    name: str = "account.created", data: bytes = b'{"id": 17}', content_type: str = "application/json"
) -> Event:
    """Return an event as `defer()` makes it, with a trace context."""
    return new_event(name, data, content_type)._replace(traceparent=TRACE)


def an_envelope(event: Event | None = None) -> Envelope:
    """Return an envelope that has not been tried yet."""
    event = event or an_event()
    return Envelope(event, round_began=event.time)


def a_letter(delivery: Delivery) -> Letter:
    """Return a dead letter for this delivery."""
    return Letter(now(), delivery.queue, "rejected", delivery.envelope, Error("ValueError", "no such account"))


async def consuming(broker: Broker, *queues: str, prefetch: int = 10) -> Consumer:
    """Return a started consumer of these queues."""
    consumer = broker.consumer()
    await consumer.start(dict.fromkeys(queues, prefetch))
    return consumer


async def take(consumer: Consumer) -> Delivery:
    """Return the next delivery."""
    async with asyncio.timeout(PATIENCE):
        return await consumer.receive()


async def take_and_ack(consumer: Consumer, count: int) -> list[Delivery]:
    """Return the next deliveries, after acknowledging each."""
    taken = []
    for _ in range(count):
        taken.append(await take(consumer))
        await taken[-1].ack()
    return taken


async def names_until_last(consumer: Consumer) -> list[str]:
    """Return the names of the events before the one named `last`, after acknowledging each."""
    names: list[str] = []
    while (delivery := await take(consumer)).envelope.event.name != "last":
        names.append(delivery.envelope.event.name)
        await delivery.ack()
    await delivery.ack()
    return names


async def publish_some(broker: Broker, count: int, name: str = "account.created") -> None:
    """Publish `count` events of one name."""
    publisher = broker.publisher()
    for _ in range(count):
        await publisher.publish(an_event(name))


async def entries_of(broker: Broker) -> list[Entry]:
    """Return all entries of the ledger."""
    ledger = broker.ledger()
    try:
        return [entry async for entry in ledger.entries()]
    finally:
        await ledger.close()


async def eventually(look: Callable[[], Awaitable[T]], expected: Callable[[T], bool]) -> T:
    """Call `look` until its result is as expected, and return the result."""
    async with asyncio.timeout(PATIENCE):
        while not expected(seen := await look()):  # polls, because the state is in another process
            await asyncio.sleep(0.01)
    return seen


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""

    async def look() -> bool:
        return condition()

    await eventually(look, bool)


async def await_backlog(consumer: Consumer, **expected: Backlog) -> None:
    """Wait until the queues have the expected counts."""

    async def counted() -> dict[str, Backlog]:
        backlog = await consumer.backlog()
        return {queue: backlog[queue] for queue in expected}

    await eventually(counted, lambda counts: counts == expected)
