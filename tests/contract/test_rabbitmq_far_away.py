"""RabbitMQ at the end of a slow line, and with hundreds of queues: the number of round trips decides.

A round trip takes 0.2 s here. An operation that asks for each object one after the other takes minutes.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.errors import BrokerUnavailable, Unroutable
from bridge.ledger import Redriven, open_letters
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.queues import Queue
from tests.contract.acts import a_letter, an_event, consuming, entries_of, eventually, now, take
from tests.contract.rabbitmq_site import RabbitSite
from tests.deadlines import within
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.rabbitmq

LATENCY = 0.1
"""Seconds in each direction."""

QUEUES = (*(Queue(f"q{number}", (f"of{number}.#", f"also{number}.#")) for number in range(300)), Queue("default"))
FEW = (QUEUES[0], Queue("default"))
BUDGET = 30.0
"""Seconds for one publish: 150 round trips, half of one for each queue."""


@pytest.fixture(scope="module")
def line(rabbitmq_url: str) -> Iterator[Proxy]:
    """A slow line to the node."""
    with Proxy(urlsplit(rabbitmq_url).port or 5672) as proxy:
        proxy.latency(LATENCY)
        yield proxy


@pytest.fixture(scope="module")
def declared(rabbitmq_url: str) -> Iterator[str]:
    """A namespace with all queues."""
    namespace = f"t{uuid.uuid4().hex[:8]}"
    asyncio.run(RabbitBroker.from_url(rabbitmq_url, namespace).declare(QUEUES))
    yield namespace
    asyncio.run(RabbitBroker.from_url(rabbitmq_url, namespace).remove(QUEUES))


@pytest.fixture
async def few(rabbitmq_url: str) -> AsyncIterator[str]:
    """A namespace without any object, which `FEW` may be declared in."""
    namespace = f"t{uuid.uuid4().hex[:8]}"
    yield namespace
    await RabbitBroker.from_url(rabbitmq_url, namespace).remove(FEW)


async def published(broker: Broker, name: str, queues: tuple[Queue, ...], due: timedelta | None = None) -> None:
    """Publish an event as the first of its process."""
    publisher = LazyPublisher(lambda: broker, queues)
    try:
        await publisher.publish(an_event(name), None if due is None else now() + due, deadline=within(BUDGET))
    finally:
        await publisher.close()


@pytest.mark.parametrize("declare", [True, False])
@pytest.mark.parametrize("due", [None, timedelta(seconds=1)])
async def test_the_first_event_of_a_process(
    line: Proxy, rabbitmq_url: str, declared: str, declare: bool, due: timedelta | None
) -> None:
    """It is published within its budget, although there are 300 queues."""
    await published(open_broker(line.url(rabbitmq_url), declared, declare=declare), "of7.paid", QUEUES, due)

    near = open_broker(rabbitmq_url, declared)
    delivery = await take(await consuming(near, "q7"))
    await delivery.ack()
    await near.close()
    assert delivery.envelope.event.name == "of7.paid"


async def test_the_first_event_of_a_site(line: Proxy, rabbitmq_url: str, few: str) -> None:
    """Everything is missing: it is declared, and the event is published within its budget."""
    await published(open_broker(line.url(rabbitmq_url), few), "of0.paid", FEW)

    near = open_broker(rabbitmq_url, few)
    assert (await take(await consuming(near, "q0"))).envelope.event.name == "of0.paid"
    await near.close()


async def test_a_new_queue_of_a_site(line: Proxy, rabbitmq_url: str, few: str) -> None:
    """A process declares what its settings name, also if another queue takes its first event."""
    broker = open_broker(rabbitmq_url, few)
    await broker.declare(FEW[1:])
    publisher = LazyPublisher(lambda: open_broker(line.url(rabbitmq_url), few), FEW)

    async def is_taken() -> bool:
        await publisher.publish(an_event("of0.paid"), deadline=within(BUDGET))
        site = RabbitSite(rabbitmq_url, few)
        return await site.has_queue("q0") and await site.count(f"{few}.q.q0") > 0

    await eventually(is_taken, bool)
    await publisher.close()
    await broker.close()


async def test_without_declare_what_is_missing_is_named(line: Proxy, rabbitmq_url: str, few: str) -> None:
    """A publish that finds nothing names a missing object, within its budget and without declaring it."""
    with pytest.raises(BrokerUnavailable, match=rf"has no exchange '{few}\..*declare = false"):
        await published(open_broker(line.url(rabbitmq_url), few, declare=False), "of0.paid", FEW)


async def test_an_event_that_no_queue_is_meant_to_take(line: Proxy, rabbitmq_url: str, few: str) -> None:
    """It is unroutable, within its budget."""
    broker = open_broker(rabbitmq_url, few)
    await broker.declare(FEW[:1])
    await broker.close()

    with pytest.raises(Unroutable):
        await published(open_broker(line.url(rabbitmq_url), few), "other", FEW[:1])


async def test_a_worker_starts_and_counts(line: Proxy, rabbitmq_url: str, declared: str) -> None:
    """Declaring, subscribing to 300 queues and counting their events take seconds, not minutes."""
    broker = open_broker(line.url(rabbitmq_url), declared)
    began = time.monotonic()

    await broker.declare(QUEUES)
    consumer = broker.consumer()
    await consumer.start({queue.name: 2 for queue in QUEUES})
    live, backlog = consumer.live, await consumer.backlog()
    seconds = time.monotonic() - began
    await broker.close()

    assert len(live) == len(QUEUES)
    assert len(backlog) == len(QUEUES)
    assert {each.ready for each in backlog.values()} == {0}
    assert seconds < 60


async def test_the_time_of_a_redrive(line: Proxy, rabbitmq_url: str, few: str) -> None:
    """It is before the event comes to a worker again, although the answer about that comes later: in the story of an
    event, the next attempt is never before the redrive."""
    far, near = open_broker(line.url(rabbitmq_url), few), open_broker(rabbitmq_url, few)
    await near.declare(FEW)
    publisher, consumer = near.publisher(), await consuming(near, "default")
    await publisher.publish(an_event("order.paid"))
    delivery = await take(consumer)
    await delivery.dead_letter(a_letter(delivery))
    (number,) = open_letters(await entries_of(near))
    letter = await near.ledger().letter(number)
    assert letter is not None

    async def redrive() -> None:
        async with far.ledger().deciding() as decisions:
            await decisions.redrive(number, letter.revived(now()), letter.queue, "ada", "fixed in v2")

    redriving = asyncio.create_task(redrive())
    await (await take(consumer)).ack()
    came = now()
    await redriving

    decision = (await entries_of(near))[-1]
    assert isinstance(decision, Redriven)
    assert decision.time < came
