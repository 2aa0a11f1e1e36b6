"""Priorities, and the weights of queues: which of the waiting events is next."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Backlog, Consumer, Delivery
from bridge.event import Event
from bridge.handling import Handling, Priority
from bridge.queues import Queue
from tests.contract.acts import (
    SOON,
    a_letter,
    an_event,
    await_backlog,
    consuming,
    entries_of,
    eventually,
    now,
    publish_some,
    soon,
    take,
)

HIGH, NORMAL, LOW = Priority


def asking(priority: Priority | None, name: str = "account.created") -> Event:
    """Return an event that asks for this priority."""
    return an_event(name)._replace(handling=Handling(priority=priority))


async def publish_each(broker: Broker, priorities: Sequence[Priority | None], count: int) -> None:
    """Publish `count` events of each of these priorities."""
    publisher = broker.publisher()
    await asyncio.gather(*(publisher.publish(asking(each)) for each in priorities for _ in range(count)))


async def taken(consumer: Consumer, count: int, held: int) -> list[Priority | None]:
    """Take this many events, one after the other, and return their priorities. Each is taken when `held` are in hand,
    as if it ran for some time."""
    found = []
    for _ in range(count):
        await in_hand(consumer, held)
        delivery = await take(consumer)
        found.append(delivery.envelope.event.handling.priority)
        await delivery.ack()
    return found


async def in_hand(consumer: Consumer, least: int) -> None:
    """Wait until the consumer holds at least this many events of `default`."""
    await eventually(consumer.backlog, lambda backlog: backlog["default"].held >= least)


async def test_the_urgent_ones_come_first_and_the_others_get_their_share(broker: Broker) -> None:
    """Of three floods, 16 : 4 : 1 are taken; a worker with a single slot holds only a few events."""
    await broker.declare([Queue("default")])
    await publish_each(broker, (LOW, NORMAL, HIGH), 60)
    consumer = await consuming(broker, "default", prefetch=1)

    counts = Counter(await taken(consumer, 42, held=6))

    assert counts[LOW] in (1, 2, 3), counts
    assert 6 <= counts[NORMAL] <= 10, counts
    assert counts[HIGH] >= 30, counts


async def test_low_events_alone_fill_the_whole_prefetch(broker: Broker) -> None:
    """A priority without competition is not slowed down."""
    await broker.declare([Queue("default")])
    await publish_each(broker, (LOW,), 8)
    consumer = await consuming(broker, "default", prefetch=4)

    held = [await take(consumer) for _ in range(4)]

    assert {delivery.envelope.event.handling.priority for delivery in held} == {LOW}


async def test_a_worker_is_given_no_more_than_the_prefetch(broker: Broker) -> None:
    """The priorities of a queue share its prefetch: what is held beyond it for the choice is not handed out."""
    await broker.declare([Queue("default")])
    await publish_each(broker, (LOW, NORMAL, HIGH), 3)
    consumer = await consuming(broker, "default", prefetch=2)
    await in_hand(consumer, 8)
    held = [await take(consumer), await take(consumer)]

    more = asyncio.create_task(consumer.receive())
    await asyncio.sleep(0.05)
    assert not more.done()

    await held[0].ack()
    await more


async def test_the_priority_of_a_queue_is_for_events_that_ask_for_none(broker: Broker) -> None:
    """Beside them, an event of normal priority in the same queue is urgent."""
    await broker.declare([Queue("default", priority=LOW)])
    await publish_each(broker, (None, HIGH), 20)
    consumer = await consuming(broker, "default", prefetch=1)

    assert Counter(await taken(consumer, 17, held=4))[HIGH] >= 15


async def test_priority_is_kept(broker: Broker) -> None:
    """By a delay, a retry, a redrive, and where an event is given back. The backlog counts what is ready by
    priority."""
    await broker.declare([Queue("default")])
    await broker.publisher().publish(asking(HIGH), soon())
    consumer, ledger = await consuming(broker, "default", prefetch=1), broker.ledger()

    async def ready() -> int:
        return (await consumer.backlog())["default"].by_priority.get(HIGH, 0)

    async def redriven(delivery: Delivery) -> None:
        await delivery.dead_letter(a_letter(delivery))
        [entry] = await entries_of(broker)
        letter = await ledger.letter(entry.number)
        assert letter is not None
        async with ledger.deciding() as decisions:
            await decisions.redrive(entry.number, letter.revived(now()), "default", "me", "again")

    async def given_back(delivery: Delivery) -> None:
        await delivery.give_back()

    async def retried(delivery: Delivery) -> None:
        await delivery.retry(delivery.envelope, SOON)

    for settle in (given_back, retried, redriven):
        delivery = await take(consumer)
        await consumer.adjust({"default": 0})
        await settle(delivery)
        await eventually(ready, lambda count: count == 1)
        await consumer.adjust({"default": 1})


async def test_an_event_of_priority_reaches_every_queue_that_takes_it(broker: Broker) -> None:
    """Of any name, at once and when it is due; the catch-all takes what no pattern takes."""
    await broker.declare([Queue("mail", ("account.#",)), Queue("audit", ("*.created",)), Queue("default")])
    publisher = broker.publisher()
    for priority in Priority:
        await publisher.publish(asking(priority))
        await publisher.publish(asking(priority), soon())
        await publisher.publish(asking(priority, "other"), soon())
        await publisher.publish(asking(priority, "other"))
    consumer = await consuming(broker, "mail", "audit", "default", prefetch=20)

    found = [await take(consumer) for _ in range(18)]

    counts = Counter((delivery.queue, delivery.envelope.event.handling.priority) for delivery in found)
    assert counts == {(queue, priority): 2 for queue in ("mail", "audit", "default") for priority in Priority}


async def test_queues_take_turns_by_their_weight(broker: Broker) -> None:
    """While both have a backlog, three of the one for each of the other."""
    await broker.declare([Queue("mail", ("mail.#",), weight=3), Queue("default")])
    await publish_some(broker, 30, "mail.sent")
    await publish_some(broker, 30, "other")
    consumer = await consuming(broker, "mail", "default", prefetch=30)
    await await_backlog(consumer, mail=Backlog(0, 30, 0), default=Backlog(0, 30, 0))

    counts = Counter([(await take(consumer)).queue for _ in range(40)])

    assert counts == {"mail": 30, "default": 10}
