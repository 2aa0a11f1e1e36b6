"""Ordered queues: one event at a time for the whole site, in order, and a retry keeps its place."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Consumer, Delivery
from bridge.envelope import Envelope
from bridge.handling import Handling, Priority
from bridge.queues import Queue
from tests.contract.acts import AT_ONCE, SOON, a_letter, an_event, consuming, entries_of, now, take
from tests.contract.conftest import OpenBroker
from tests.limits import PATIENCE

ORDERS = Queue("orders", ("order.#",), ordered=True)


async def publish(broker: Broker, *names: str, priority: Priority | None = None) -> None:
    """Publish events of these names, one after the other."""
    publisher = broker.publisher()
    for name in names:
        await publisher.publish(an_event(f"order.{name}")._replace(handling=Handling(priority=priority)))


def name_of(delivery: Delivery) -> str:
    """Return the last word of the event's name."""
    return delivery.envelope.event.name.removeprefix("order.")


async def nothing_comes(*consumers: Consumer) -> None:
    """Check that none of the consumers receives anything for a moment."""
    tasks = [asyncio.create_task(consumer.receive()) for consumer in consumers]
    done, waiting = await asyncio.wait(tasks, timeout=0.3)
    assert not done
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def tried(envelope: Envelope) -> Envelope:
    """Return the envelope after a failed attempt."""
    return envelope._replace(spent=envelope.spent + 1, finished=(*envelope.finished, "shop.mail"))


@pytest.fixture(name="consumers")
async def two_consumers(another_broker: OpenBroker) -> AsyncIterator[Sequence[Consumer]]:
    """Two workers of an ordered queue, with more room than they may use."""
    brokers = [another_broker(), another_broker()]
    for each in brokers:
        await each.declare([ORDERS, Queue("default")])
    yield [await consuming(each, "orders", prefetch=5) for each in brokers]


async def take_any(consumers: Sequence[Consumer]) -> Delivery:
    """Return the next delivery of any of these consumers."""
    tasks = [asyncio.create_task(consumer.receive()) for consumer in consumers]
    done, waiting = await asyncio.wait(tasks, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    (first,) = done
    return first.result()


async def test_one_at_a_time_in_order(broker: Broker, consumers: Sequence[Consumer]) -> None:
    """Of two workers only one has an event, and the next one begins when it has ended. Priorities do not count."""
    await publish(broker, "a", "b")
    await publish(broker, "c", priority=Priority.HIGH)
    await publish(broker, "d", priority=Priority.LOW)

    for name in ("a", "b", "c"):
        delivery = await take_any(consumers)
        assert name_of(delivery) == name
        await nothing_comes(*consumers)
        await delivery.ack()
    last = await take_any(consumers)
    await last.dead_letter(a_letter(last))

    assert [entry.queue for entry in await entries_of(broker)] == ["orders"]  # type: ignore[union-attr]
    await publish(broker, "e")
    assert name_of(await take_any(consumers)) == "e"


async def test_a_retry_keeps_its_place(broker: Broker, consumers: Sequence[Consumer]) -> None:
    """With its history, as another message, and never early. The events after it wait."""
    await publish(broker, "a", "b")
    delivery = await take_any(consumers)
    due = now() + SOON

    await delivery.retry(tried(delivery.envelope), SOON)

    again = await take_any(consumers)
    assert now() >= due
    assert again.envelope == tried(delivery.envelope)
    assert again.token != delivery.token
    await again.retry(tried(again.envelope), AT_ONCE)
    third = await take_any(consumers)
    assert third.envelope.spent == 2
    await third.ack()
    assert name_of(await take_any(consumers)) == "b"


async def test_a_retry_survives_its_worker(
    broker: Broker, another_broker: OpenBroker, consumers: Sequence[Consumer]
) -> None:
    """A worker that ends while a retry waits leaves place, history and time to the next one."""
    await publish(broker, "a", "b")
    delivery = await take_any(consumers)
    wait = timedelta(seconds=2)
    due = now() + wait
    await delivery.retry(tried(delivery.envelope), wait)

    for consumer in consumers:
        await consumer.close()
    other = another_broker()
    await other.declare([ORDERS])
    successor = await consuming(other, "orders")

    again = await take(successor)
    assert now() >= due
    assert again.envelope == tried(delivery.envelope)
    await again.ack()
    assert name_of(await take(successor)) == "b"


async def test_what_is_given_back_keeps_its_place(broker: Broker, consumers: Sequence[Consumer]) -> None:
    """It is the next one again, with what it had, and not as a repeat that spends an attempt."""
    await publish(broker, "a", "b")
    delivery = await take_any(consumers)
    await delivery.retry(tried(delivery.envelope), AT_ONCE)
    delivery = await take_any(consumers)

    await delivery.give_back()

    again = await take_any(consumers)
    assert again.envelope == delivery.envelope
    await again.ack()
    assert name_of(await take_any(consumers)) == "b"


async def test_another_queue_of_the_worker_goes_on(broker: Broker, another_broker: OpenBroker) -> None:
    """While the head of an ordered queue waits."""
    other = another_broker()
    await other.declare([ORDERS, Queue("default")])
    consumer = await consuming(other, "orders", "default")
    await publish(broker, "a", "b")
    delivery = await take(consumer)
    await delivery.retry(delivery.envelope, timedelta(seconds=60))

    await broker.publisher().publish(an_event("other"))

    assert (await take(consumer)).queue == "default"
    await nothing_comes(consumer)


async def test_an_event_that_came_while_none_was_wanted_is_taken_afterwards(broker: Broker) -> None:
    """A paused queue wants none. A retry may come due meanwhile, and no further event arrives to wake the consumer."""
    await broker.declare([ORDERS])
    await publish(broker, "a")
    consumer = await consuming(broker, "orders", prefetch=1)
    delivery = await take(consumer)
    await consumer.adjust({"orders": 0})
    await delivery.retry(tried(delivery.envelope), AT_ONCE)

    await nothing_comes(consumer)
    waiting = asyncio.create_task(take(consumer))
    await asyncio.sleep(0)
    await consumer.adjust({"orders": 1})

    again = await waiting
    assert (name_of(again), again.envelope.spent) == ("a", 1)
    await again.ack()


async def test_a_worker_that_stops_keeps_the_head(broker: Broker, consumers: Sequence[Consumer]) -> None:
    """While its event runs to the end, no other worker begins the next one."""
    await publish(broker, "a", "b")
    first, second = consumers
    tasks = [asyncio.create_task(consumer.receive()) for consumer in consumers]
    done, waiting = await asyncio.wait(tasks, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    holder, other = (first, second) if tasks[0] in done else (second, first)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    await holder.stop()

    await nothing_comes(other)
    await done.pop().result().ack()
    await holder.close()
    assert name_of(await take(other)) == "b"
