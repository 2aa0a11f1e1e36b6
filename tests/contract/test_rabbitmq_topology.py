"""RabbitMQ only: objects that differ, deleted objects, the delivery limit, and the ledger's local index."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from functools import partial
from operator import eq
from pathlib import Path

import pytest
from aio_pika import Connection
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.opening import open_broker
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.topology import declaring
from bridge.brokers.rabbitmq.topology.declarations import AmqpExchange, AmqpQueue, Binding, declarations
from bridge.brokers.rabbitmq.topology.delay_ladder import LONGEST
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.errors import BrokerRefused, Unroutable
from bridge.ledger import Dead
from bridge.queues import Queue
from tests.contract.acts import (
    a_letter,
    an_envelope,
    an_event,
    consuming,
    entries_of,
    eventually,
    now,
    take,
    take_and_ack,
)
from tests.contract.rabbitmq_site import RabbitSite
from tests.deadlines import within
from tests.limits import PATIENCE

pytestmark = pytest.mark.rabbitmq


@pytest.fixture(autouse=True)
def indexes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Path]]:
    """A folder of this test's own for local indexes, as a function that lists them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    return lambda: list((tmp_path / "mine").glob("*/*.db"))


@pytest.fixture
def site(rabbit_site: RabbitSite) -> RabbitSite:
    """A namespace of this test's own."""
    return rabbit_site


@pytest.fixture
async def broker(site: RabbitSite) -> AsyncIterator[Broker]:
    """A broker with nothing declared."""
    broker = open_broker(site.url, site.namespace)
    yield broker
    await broker.close()


async def test_queue_that_differs(site: RabbitSite, broker: Broker) -> None:
    """A queue with other arguments raises an error that names the queue and the difference."""
    async with site.channel() as channel:
        await channel.queue_declare(f"{site.namespace}.q.mail", durable=True, arguments={"x-queue-type": "classic"})

    with pytest.raises(BrokerRefused, match=rf"queue '{site.namespace}\.q\.mail'.*inequivalent arg 'x-.*current is"):
        await broker.declare([Queue("mail", ("mail.#",))])


async def test_consumer_of_a_queue_that_is_not_there(broker: Broker) -> None:
    """A consumer of a queue that was not declared is refused, and does not wait."""
    with pytest.raises(BrokerRefused, match="mail"):
        await broker.consumer().start({"mail": 1})


async def test_deleted_queue(site: RabbitSite, broker: Broker) -> None:
    """A queue that is deleted under its consumer is declared again, and deliveries of other queues can still be
    settled."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("default")])
    consumer = broker.consumer()
    await consumer.start({"mail": 1, "default": 2})
    publisher = broker.publisher()
    await publisher.publish(an_event("other"))
    neighbour = await take(consumer)

    await site.drop_queue("mail")

    publishing = asyncio.create_task(publisher.publish(an_event("last")))
    assert (await take(consumer)).envelope.event.name == "last"
    await publishing
    await eventually(lambda: site.has_queue("mail"), bool)
    await publisher.put(an_envelope(an_event("mail.sent")), "mail")
    assert (await take(consumer)).queue == "mail"
    await neighbour.ack()


async def test_deleted_binding(site: RabbitSite, broker: Broker) -> None:
    """An unroutable publish declares deleted objects again, and is then accepted."""
    await broker.declare([Queue("orders", ("order.#",))])
    publisher, names = broker.publisher(), Names(site.namespace)
    async with site.channel() as channel:
        await channel.queue_unbind(names.queue("orders"), names.events, "order.#")

    await publisher.publish(event := an_event("order.paid"))

    assert (await take(await consuming(broker, "orders"))).envelope.event.id == event.id


async def test_what_no_queue_is_meant_to_take_declares_nothing_each_time(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every unroutable publish declares the objects again: that would cost the broker hundreds of declarations a
    second."""
    await broker.declare([Queue("orders", ("order.#",))])
    publisher, declared, really = broker.publisher(), 0, declaring.declare

    async def declare(connection: Connection, names: Names, queues: Sequence[Queue]) -> None:
        nonlocal declared
        declared += 1
        await really(connection, names, queues)

    monkeypatch.setattr(declaring, "declare", declare)
    for _ in range(3):
        with pytest.raises(Unroutable):
            await publisher.publish(an_event("mail.sent"))

    assert declared == 1


async def test_prefetch_adjusted(broker: Broker) -> None:
    """A consumer adapts to a larger and a smaller prefetch; surplus deliveries return to their queue, and none is
    lost."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    for _ in range(10):
        await publisher.publish(an_event())
    consumer = await consuming(broker, "default", prefetch=2)

    for prefetch in (5, 7, 1, 3, 0, 4):
        await consumer.adjust({"default": prefetch})
        expected = {"default": Backlog(ready=10 - prefetch, held=prefetch, waiting=0)}
        await eventually(consumer.backlog, partial(eq, expected))

    await take_and_ack(consumer, 10)
    await eventually(consumer.backlog, lambda seen: seen["default"] == Backlog(0, 0, 0))


async def test_everything_deleted(site: RabbitSite, broker: Broker) -> None:
    """If an operator deleted the exchanges, a publish declares again everything that this process declared."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("first"))
    async with site.channel() as channel:
        await channel.exchange_delete(f"{site.namespace}.events")
        await channel.exchange_delete(f"{site.namespace}.delay.00")

    await publisher.publish(an_event("second"))
    await publisher.publish(an_event("third"), now() + timedelta(seconds=1))

    names = [taken.envelope.event.name for taken in await take_and_ack(await consuming(broker, "default"), 3)]
    assert names == ["first", "second", "third"]


async def test_delivery_limit(site: RabbitSite, broker: Broker) -> None:
    """RabbitMQ moves an event that is rejected again and again to the ledger, with its history."""
    await broker.declare([Queue("default")])
    event = an_event(data=b"\0\xff")
    await broker.publisher().publish(event)

    async with site.channel() as channel:

        async def reject(message: DeliveredMessage) -> None:
            await channel.basic_reject(message.delivery_tag or 0, requeue=True)

        await channel.basic_consume(f"{site.namespace}.q.default", reject)
        (entry,) = await eventually(lambda: entries_of(broker), bool)

    assert isinstance(entry, Dead)
    assert (entry.reason, entry.queue, entry.event_id) == ("delivery limit", "default", event.id)
    letter = await broker.ledger().letter(entry.number)
    assert letter is not None
    assert letter.revived(now()).event == event


async def test_parked(site: RabbitSite, broker: Broker) -> None:
    """An event that is due beyond the end of the delay ladder starts again when it leaves the ladder."""
    await broker.declare([Queue("default")])
    consumer = await consuming(broker, "default")
    event, due = an_event(), now() + timedelta(seconds=LONGEST + 60)
    await broker.publisher().publish(event, due)
    await _let_out(site, "19")

    await broker.publisher().publish(an_event("last"))

    assert (await take(consumer)).envelope.event.name == "last"
    await eventually(lambda: site.count(f"{site.namespace}.delay.19"), lambda count: count == 1)


async def test_index_is_used_and_disposable(
    site: RabbitSite, broker: Broker, indexes: Callable[[], list[Path]]
) -> None:
    """A second reading continues after the first one; without the index, or with a damaged one, it reads everything."""
    await broker.declare([Queue("default")])
    await _die(broker, 3)
    entries = await entries_of(broker)
    assert len(entries) == 3
    (index,) = indexes()

    await _die(broker, 1)
    assert (await entries_of(broker))[:3] == entries

    index.write_bytes(b"no database at all, but some bytes of it" * 100)
    assert len(await entries_of(broker)) == 4
    index.unlink()
    assert len(await entries_of(broker)) == 4


async def test_index_of_another_stream(site: RabbitSite, broker: Broker) -> None:
    """A stream that replaced a deleted one is recognized as new, whichever is longer."""
    await broker.declare([Queue("default")])
    await _die(broker, 2)
    assert len(await entries_of(broker)) == 2
    async with site.channel() as channel:
        await channel.queue_delete(f"{site.namespace}.dead")
    await broker.declare([Queue("default")])

    await _die(broker, 4)

    assert [entry.number for entry in await entries_of(broker)] == [0, 1, 2, 3]


async def test_ledger_of_a_namespace_that_is_not_there(broker: Broker) -> None:
    """The ledger of a namespace without declarations is empty."""
    assert await entries_of(broker) == []
    assert await broker.ledger().letter(0) is None


async def test_long_ledger(broker: Broker) -> None:
    """A ledger with many chunks is read to its end in one reading."""
    await broker.declare([Queue("default")])
    await _die(broker, 1500)

    assert len(await entries_of(broker)) == 1500


async def test_removed(site: RabbitSite) -> None:
    """Removing a namespace removes all its objects and messages; removing it again is no error."""
    broker = RabbitBroker.from_url(site.url, site.namespace)
    queues = [Queue("mail", ("mail.#",)), Queue("default")]
    await broker.declare(queues)
    await broker.publisher().publish(an_event("mail.sent"))

    count = await broker.remove(queues)
    assert await broker.remove(queues) == count

    names = Names(site.namespace)
    for each in declarations(names, queues):
        async with site.channel() as channel:
            with pytest.raises(ChannelNotFoundEntity):
                match each:
                    case AmqpQueue(name=name):
                        await channel.queue_declare(name, passive=True)
                    case AmqpExchange(name=name) | Binding(source=name):
                        await channel.exchange_declare(name, passive=True)
    await broker.close()


async def _die(broker: Broker, count: int) -> None:
    """Make `count` dead letters."""
    publisher = broker.publisher()
    consumer = await consuming(broker, "default", prefetch=100)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(publisher.publish(an_event(), deadline=within(PATIENCE)))
        for _ in range(count):
            delivery = await take(consumer)
            tasks.create_task(delivery.dead_letter(a_letter(delivery)))
    await consumer.close()
    await publisher.close()


async def _let_out(site: RabbitSite, level: str) -> None:
    """Move the messages on a level of the ladder to its next exchange, as if their time was over."""
    async with site.channel() as channel:
        queue = f"{site.namespace}.delay.{level}"
        message = await channel.basic_get(queue, no_ack=True)
        properties = message.header.properties
        await channel.basic_publish(
            message.body,
            exchange=f"{site.namespace}.delay.out",
            routing_key=message.routing_key or "",
            properties=properties,
        )
