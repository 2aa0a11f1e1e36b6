"""What a consumer holds: the prefetch, what is given back, what comes again, and the counts."""

import asyncio

import pytest

from bridge.brokers.contract import Backlog, Broker, Consumer
from bridge.queues import Queue
from tests.contract.acts import (
    an_envelope,
    an_event,
    consuming,
    eventually,
    now,
    soon,
    take,
    take_and_ack,
)
from tests.contract.conftest import OpenBroker


async def _publish(broker: Broker, count: int, name: str = "account.created") -> None:
    publisher = broker.publisher()
    for _ in range(count):
        await publisher.publish(an_event(name))


async def _await_backlog(consumer: Consumer, **expected: Backlog) -> None:
    """Wait until the queues hold what is expected."""

    async def counted() -> dict[str, Backlog]:
        backlog = await consumer.backlog()
        return {queue: backlog[queue] for queue in expected}

    await eventually(counted, lambda counts: counts == expected)


async def test_backlog(broker: Broker) -> None:
    """Ready, held and waiting are counted; what is settled is counted no more."""
    await broker.declare([Queue("default")])
    await _publish(broker, 5)
    await broker.publisher().put(an_envelope(), "default", soon(3600))
    consumer = await consuming(broker, "default", prefetch=2)

    await _await_backlog(consumer, default=Backlog(ready=3, held=2, waiting=1))

    await take_and_ack(consumer, 5)
    await _await_backlog(consumer, default=Backlog(ready=0, held=0, waiting=1))


async def test_backlog_by_queue(broker: Broker) -> None:
    """Each queue is counted for itself."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("audit", ("#",))])
    await _publish(broker, 3, "mail.sent")
    await _publish(broker, 2, "other")
    consumer = broker.consumer()

    await consumer.start({"mail": 1, "audit": 2})

    await _await_backlog(consumer, mail=Backlog(2, 1, 0), audit=Backlog(3, 2, 0))


async def test_prefetch(broker: Broker) -> None:
    """No more than the prefetch is held at a time; each settlement makes room for one more."""
    await broker.declare([Queue("default")])
    await _publish(broker, 10)
    consumer = await consuming(broker, "default", prefetch=3)
    held = [await take(consumer) for _ in range(3)]
    await _await_backlog(consumer, default=Backlog(7, 3, 0))

    await held[1].ack()

    await take(consumer)
    await _await_backlog(consumer, default=Backlog(6, 3, 0))


async def test_prefetch_of_each_queue(broker: Broker) -> None:
    """A queue whose prefetch is used up keeps no other queue waiting."""
    await broker.declare([Queue("slow", ("slow.#",)), Queue("quick", ("quick.#",))])
    await _publish(broker, 5, "slow.a")
    await _publish(broker, 5, "quick.a")
    consumer = broker.consumer()
    await consumer.start({"slow": 1, "quick": 2})

    quick = 0
    while quick < 5:
        delivery = await take(consumer)
        if delivery.queue == "quick":
            quick += 1
            await delivery.ack()

    await _await_backlog(consumer, slow=Backlog(4, 1, 0), quick=Backlog(0, 0, 0))


async def test_first_delivery_is_no_redelivery(broker: Broker) -> None:
    """What comes for the first time says so."""
    await broker.declare([Queue("default")])
    await _publish(broker, 1)

    assert not (await take(await consuming(broker, "default"))).redelivered


async def test_given_back(another_broker: OpenBroker) -> None:
    """What a worker gives back, another one has at once, under the same token."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    await _publish(first, 1)
    giving = await consuming(first, "default")
    delivery = await take(giving)
    await giving.stop()
    taking = await consuming(second, "default")

    await delivery.give_back()

    again = await take(taking)
    assert (again.token, again.envelope) == (delivery.token, delivery.envelope)


async def test_given_back_often(broker: Broker) -> None:
    """Giving back is no failure: it can be done more often than any limit on deliveries that were lost."""
    await broker.declare([Queue("default")])
    await _publish(broker, 1)
    consumer = await consuming(broker, "default", prefetch=1)

    for _ in range(30):
        await (await take(consumer)).give_back()

    await (await take(consumer)).ack()


async def test_closed_without_settling(broker: Broker) -> None:
    """What was not settled when its consumer is closed comes again, marked, under the same token."""
    await broker.declare([Queue("default")])
    await _publish(broker, 1)
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)

    await consumer.close()

    again = await take(await consuming(broker, "default"))
    assert (again.token, again.envelope) == (delivery.token, delivery.envelope)
    assert again.redelivered


async def test_broker_closed_without_settling(another_broker: OpenBroker) -> None:
    """The same where the whole process is gone in good order."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    await _publish(first, 3)
    delivery = await take(await consuming(first, "default"))

    await first.close()

    taken = await take_and_ack(await consuming(second, "default"), 3)
    assert delivery.token in {again.token for again in taken}


async def test_stop_gives_back_what_nobody_has_seen(another_broker: OpenBroker) -> None:
    """After stop, what was fetched and not handed out is another worker's at once; what was handed out is still held
    and can be settled."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    await _publish(first, 5)
    stopping = await consuming(first, "default", prefetch=5)
    mine = await take(stopping)
    await _await_backlog(stopping, default=Backlog(0, 5, 0))

    await stopping.stop()

    others = await take_and_ack(await consuming(second, "default"), 4)
    assert mine.token not in {delivery.token for delivery in others}
    await mine.ack()
    await _await_backlog(stopping, default=Backlog(0, 0, 0))


async def test_adjusted_to_more(broker: Broker) -> None:
    """A prefetch that grows while events wait is used at once."""
    await broker.declare([Queue("default")])
    await _publish(broker, 10)
    consumer = await consuming(broker, "default", prefetch=2)
    await _await_backlog(consumer, default=Backlog(8, 2, 0))

    await consumer.adjust({"default": 5})

    await _await_backlog(consumer, default=Backlog(5, 5, 0))


async def test_adjusted_to_less(broker: Broker) -> None:
    """A prefetch that shrinks gives back what was not handed out; once what was handed out is settled, no more is held
    than the new one says."""
    await broker.declare([Queue("default")])
    await _publish(broker, 10)
    consumer = await consuming(broker, "default", prefetch=6)
    first = await take(consumer)
    await _await_backlog(consumer, default=Backlog(4, 6, 0))

    await consumer.adjust({"default": 1})

    await first.ack()
    await _await_backlog(consumer, default=Backlog(8, 1, 0))
    await (await take(consumer)).ack()
    await _await_backlog(consumer, default=Backlog(7, 1, 0))


async def test_adjusted_to_nothing_and_back(another_broker: OpenBroker) -> None:
    """A queue of which nothing more is wanted is others' alone, until it is wanted again."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    await _publish(first, 3)
    pausing = await consuming(first, "default", prefetch=3)
    await _await_backlog(pausing, default=Backlog(0, 3, 0))

    await pausing.adjust({"default": 0})

    other = await consuming(second, "default")
    await take_and_ack(other, 3)
    await other.close()
    await pausing.adjust({"default": 3})
    await _publish(first, 1)
    await take_and_ack(pausing, 1)


async def test_adjust_leaves_other_queues_alone(broker: Broker) -> None:
    """What is not named keeps its prefetch."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("default")])
    await _publish(broker, 3, "mail.sent")
    await _publish(broker, 3)
    consumer = broker.consumer()
    await consumer.start({"mail": 2, "default": 2})

    await consumer.adjust({"mail": 0})

    await _await_backlog(consumer, mail=Backlog(3, 0, 0), default=Backlog(1, 2, 0))


async def test_nothing_comes_after_stop(broker: Broker) -> None:
    """A stopped consumer takes nothing more."""
    await broker.declare([Queue("default")])
    consumer = await consuming(broker, "default")
    await consumer.stop()

    await _publish(broker, 3)

    await _await_backlog(consumer, default=Backlog(3, 0, 0))


async def test_two_consumers_share(another_broker: OpenBroker) -> None:
    """Two workers of one queue have different events, and together all of them."""
    brokers = [another_broker(), another_broker()]
    await brokers[0].declare([Queue("default")])
    await _publish(brokers[0], 40)
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
    """A receive that is cancelled takes nothing with it."""
    await broker.declare([Queue("default")])
    consumer = await consuming(broker, "default")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await consumer.receive()

    await _publish(broker, 1)

    await (await take(consumer)).ack()


async def test_stop_before_start_and_twice(broker: Broker) -> None:
    """A consumer may be stopped before it was started, twice, and closed after that."""
    await broker.declare([Queue("default")])
    consumer = broker.consumer()

    await consumer.stop()
    await consumer.stop()

    await consumer.close()


async def test_settled_together(broker: Broker) -> None:
    """Deliveries may be settled all at once, in any order and by different verbs."""
    await broker.declare([Queue("default")])
    await _publish(broker, 12)
    consumer = await consuming(broker, "default", prefetch=12)
    held = [await take(consumer) for _ in range(12)]

    await asyncio.gather(
        *(delivery.ack() for delivery in reversed(held[:6])),
        *(delivery.retry(delivery.envelope, now()) for delivery in held[6:9]),
        *(delivery.give_back() for delivery in held[9:]),
    )

    again = await take_and_ack(consumer, 6)
    expected = sorted(delivery.envelope.event.id for delivery in held[6:])
    assert sorted(delivery.envelope.event.id for delivery in again) == expected
    await _await_backlog(consumer, default=Backlog(0, 0, 0))


async def test_backlog_of_who_takes_nothing(broker: Broker) -> None:
    """A consumer that was not started tells what the declared queues hold, and leaves it there."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("default")])
    await _publish(broker, 3, "mail.sent")

    looking = broker.consumer()

    await _await_backlog(looking, mail=Backlog(3, 0, 0), default=Backlog(0, 0, 0))
    await take_and_ack(await consuming(broker, "mail"), 3)
