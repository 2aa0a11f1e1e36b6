"""Deliveries that a consumer holds: returned ones, redelivered ones, and stopping."""

import asyncio

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Backlog, Consumer
from bridge.queues import Queue
from tests.contract.acts import (
    AT_ONCE,
    await_backlog,
    consuming,
    publish_some,
    take,
    take_and_ack,
)
from tests.contract.conftest import OpenBroker


async def test_first_delivery_is_no_redelivery(broker: Broker) -> None:
    """The first delivery of an event is not marked as a redelivery."""
    await broker.declare([Queue("default")])
    await publish_some(broker, 1)

    assert not (await take(await consuming(broker, "default"))).redelivered


async def test_given_back(another_broker: OpenBroker) -> None:
    """An event that a worker gives back is delivered to another one at once, with the same token."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    await publish_some(first, 1)
    giving = await consuming(first, "default")
    delivery = await take(giving)
    await giving.stop()
    taking = await consuming(second, "default")

    await delivery.give_back()

    again = await take(taking)
    assert (again.token, again.envelope) == (delivery.token, delivery.envelope)


async def test_given_back_often(broker: Broker) -> None:
    """An event can be given back more often than the delivery limit, because giving back is no failure."""
    await broker.declare([Queue("default")])
    await publish_some(broker, 1)
    consumer = await consuming(broker, "default", prefetch=1)

    for _ in range(30):
        await (await take(consumer)).give_back()

    await (await take(consumer)).ack()


async def test_closed_without_settling(broker: Broker) -> None:
    """Unsettled events of a closed consumer are delivered again, marked, with the same tokens."""
    await broker.declare([Queue("default")])
    await publish_some(broker, 1)
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)

    await consumer.close()

    again = await take(await consuming(broker, "default"))
    assert (again.token, again.envelope) == (delivery.token, delivery.envelope)
    assert again.redelivered


async def test_broker_closed_without_settling(another_broker: OpenBroker) -> None:
    """Unsettled events of a process that closed its broker are delivered again as well."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    await publish_some(first, 3)
    delivery = await take(await consuming(first, "default"))

    await first.close()

    taken = await take_and_ack(await consuming(second, "default"), 3)
    assert delivery.token in {again.token for again in taken}


async def test_stop_gives_back_what_nobody_has_seen(another_broker: OpenBroker) -> None:
    """After `stop`, deliveries that were not handed out go to another worker at once; those that were handed out are
    still held and can be settled."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    await publish_some(first, 5)
    stopping = await consuming(first, "default", prefetch=5)
    mine = await take(stopping)
    await await_backlog(stopping, default=Backlog(0, 5, 0))

    await stopping.stop()

    others = await take_and_ack(await consuming(second, "default"), 4)
    assert mine.token not in {delivery.token for delivery in others}
    await mine.ack()
    await await_backlog(stopping, default=Backlog(0, 0, 0))


async def test_nothing_comes_after_stop(broker: Broker) -> None:
    """A stopped consumer takes no more events."""
    await broker.declare([Queue("default")])
    consumer = await consuming(broker, "default")
    await consumer.stop()

    await publish_some(broker, 3)

    await await_backlog(consumer, default=Backlog(3, 0, 0))


async def test_two_consumers_share(another_broker: OpenBroker) -> None:
    """Two workers of one queue receive different events, and together all of them."""
    brokers = [another_broker(), another_broker()]
    await brokers[0].declare([Queue("default")])
    await publish_some(brokers[0], 40)
    consumers = [await consuming(broker, "default", prefetch=2) for broker in brokers]
    tokens: list[str] = []

    async def drain(consumer: Consumer) -> None:
        while len(tokens) < 40:
            delivery = await take(consumer)
            tokens.append(delivery.token)
            await delivery.ack()

    drains = {asyncio.create_task(drain(consumer)) for consumer in consumers}
    await asyncio.wait(drains, return_when=asyncio.FIRST_COMPLETED)
    for task in drains:
        task.cancel()
    await asyncio.gather(*drains, return_exceptions=True)

    assert len(set(tokens)) == 40


async def test_receive_can_be_cancelled(broker: Broker) -> None:
    """A cancelled `receive` loses no event."""
    await broker.declare([Queue("default")])
    consumer = await consuming(broker, "default")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await consumer.receive()

    await publish_some(broker, 1)

    await (await take(consumer)).ack()


async def test_stop_before_start_and_twice(broker: Broker) -> None:
    """A consumer may be stopped before it was started, twice, and closed after that."""
    await broker.declare([Queue("default")])
    consumer = broker.consumer()

    await consumer.stop()
    await consumer.stop()

    await consumer.close()


async def test_settled_together(broker: Broker) -> None:
    """Deliveries may be settled at the same time, in any order and with different verbs."""
    await broker.declare([Queue("default")])
    await publish_some(broker, 12)
    consumer = await consuming(broker, "default", prefetch=12)
    held = [await take(consumer) for _ in range(12)]

    await asyncio.gather(
        *(delivery.ack() for delivery in reversed(held[:6])),
        *(delivery.retry(delivery.envelope, AT_ONCE) for delivery in held[6:9]),
        *(delivery.give_back() for delivery in held[9:]),
    )

    again = await take_and_ack(consumer, 6)
    expected = sorted(delivery.envelope.event.id for delivery in held[6:])
    assert sorted(delivery.envelope.event.id for delivery in again) == expected
    await await_backlog(consumer, default=Backlog(0, 0, 0))
