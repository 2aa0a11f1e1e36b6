"""The prefetch of a consumer, and the counts of ready, held and waiting events."""

from datetime import timedelta

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Backlog
from bridge.queues import Queue
from tests.contract.acts import (
    an_envelope,
    await_backlog,
    consuming,
    publish_some,
    soon,
    take,
    take_and_ack,
)
from tests.contract.conftest import OpenBroker


async def test_backlog(broker: Broker) -> None:
    """Ready, held and waiting events are counted, and settled ones are not."""
    await broker.declare([Queue("default")])
    await publish_some(broker, 5)
    await broker.publisher().put(an_envelope(), "default", soon(timedelta(seconds=3600)))
    consumer = await consuming(broker, "default", prefetch=2)

    await await_backlog(consumer, default=Backlog(ready=3, held=2, waiting=1))

    await take_and_ack(consumer, 5)
    await await_backlog(consumer, default=Backlog(ready=0, held=0, waiting=1))


async def test_backlog_by_queue(broker: Broker) -> None:
    """Each queue is counted separately."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("audit", ("#",))])
    await publish_some(broker, 3, "mail.sent")
    await publish_some(broker, 2, "other")
    consumer = broker.consumer()

    await consumer.start({"mail": 1, "audit": 2})

    await await_backlog(consumer, mail=Backlog(2, 1, 0), audit=Backlog(3, 2, 0))


async def test_prefetch(broker: Broker) -> None:
    """A consumer holds at most its prefetch; each settlement makes room for one more."""
    await broker.declare([Queue("default")])
    await publish_some(broker, 10)
    consumer = await consuming(broker, "default", prefetch=3)
    held = [await take(consumer) for _ in range(3)]
    await await_backlog(consumer, default=Backlog(7, 3, 0))

    await held[1].ack()

    await take(consumer)
    await await_backlog(consumer, default=Backlog(6, 3, 0))


async def test_a_prefetch_beyond_all_events(broker: Broker) -> None:
    """The slots may be more than the broker can count, from the start or later."""
    await broker.declare([Queue("default")])
    await publish_some(broker, 4)
    consumer = await consuming(broker, "default", prefetch=70_000)
    await take_and_ack(consumer, 2)

    await consumer.adjust({"default": 1})
    await consumer.adjust({"default": 140_000})

    await take_and_ack(consumer, 2)
    await await_backlog(consumer, default=Backlog(0, 0, 0))


async def test_prefetch_of_each_queue(broker: Broker) -> None:
    """A queue whose prefetch is used up does not block another queue."""
    await broker.declare([Queue("slow", ("slow.#",)), Queue("quick", ("quick.#",))])
    await publish_some(broker, 5, "slow.a")
    await publish_some(broker, 5, "quick.a")
    consumer = broker.consumer()
    await consumer.start({"slow": 1, "quick": 2})

    quick = 0
    while quick < 5:
        delivery = await take(consumer)
        if delivery.queue == "quick":
            quick += 1
            await delivery.ack()

    await await_backlog(consumer, slow=Backlog(4, 1, 0), quick=Backlog(0, 0, 0))


async def test_adjusted_to_more(broker: Broker) -> None:
    """A larger prefetch takes effect at once while events wait."""
    await broker.declare([Queue("default")])
    await publish_some(broker, 10)
    consumer = await consuming(broker, "default", prefetch=2)
    await await_backlog(consumer, default=Backlog(8, 2, 0))

    await consumer.adjust({"default": 5})

    await await_backlog(consumer, default=Backlog(5, 5, 0))


async def test_adjusted_to_less(broker: Broker) -> None:
    """A smaller prefetch gives back deliveries that were not handed out; when the others are settled, the consumer
    holds no more than the new prefetch."""
    await broker.declare([Queue("default")])
    await publish_some(broker, 10)
    consumer = await consuming(broker, "default", prefetch=6)
    first = await take(consumer)
    await await_backlog(consumer, default=Backlog(4, 6, 0))

    await consumer.adjust({"default": 1})

    await first.ack()
    await await_backlog(consumer, default=Backlog(8, 1, 0))
    await (await take(consumer)).ack()
    await await_backlog(consumer, default=Backlog(7, 1, 0))


async def test_adjusted_to_nothing_and_back(another_broker: OpenBroker) -> None:
    """With a prefetch of 0, other consumers get all events of the queue, until it is raised again."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    await publish_some(first, 3)
    pausing = await consuming(first, "default", prefetch=3)
    await await_backlog(pausing, default=Backlog(0, 3, 0))

    await pausing.adjust({"default": 0})

    other = await consuming(second, "default")
    await take_and_ack(other, 3)
    await other.close()
    await pausing.adjust({"default": 3})
    await publish_some(first, 1)
    await take_and_ack(pausing, 1)


async def test_adjust_leaves_other_queues_alone(broker: Broker) -> None:
    """A queue that is not named keeps its prefetch."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("default")])
    await publish_some(broker, 3, "mail.sent")
    await publish_some(broker, 3)
    consumer = broker.consumer()
    await consumer.start({"mail": 2, "default": 2})

    await consumer.adjust({"mail": 0})

    await await_backlog(consumer, mail=Backlog(3, 0, 0), default=Backlog(1, 2, 0))


async def test_backlog_of_who_takes_nothing(broker: Broker) -> None:
    """A consumer that was not started reports the counts of the declared queues, and takes nothing."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("default")])
    await publish_some(broker, 3, "mail.sent")

    looking = broker.consumer()

    await await_backlog(looking, mail=Backlog(3, 0, 0), default=Backlog(0, 0, 0))
    await take_and_ack(await consuming(broker, "mail"), 3)
