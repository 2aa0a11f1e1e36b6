"""RabbitMQ restarted, frozen, out of memory or unreachable, and closed connections: nothing is lost, and everything
recovers by itself.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import cast

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.contract.publishing import Publisher
from bridge.brokers.opening import open_broker
from bridge.brokers.rabbitmq.consuming import stalls
from bridge.brokers.rabbitmq.publishing.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.errors import BrokerRefused, BrokerUnavailable, DeferUnconfirmed, DeliveryLost
from bridge.event import Event
from bridge.queues import Queue
from tests.contract.acts import (
    AT_ONCE,
    an_envelope,
    an_event,
    await_backlog,
    consuming,
    eventually,
    now,
    take,
    take_and_ack,
    until,
)
from tests.contract.rabbitmq_namespaces import with_default, with_queue
from tests.deadlines import within
from tests.limits import PATIENCE
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
async def broker(node: RabbitNode) -> AsyncIterator[Broker]:
    """A broker on the node, with the queue `default`. It is removed afterwards, so that the next restart does not
    recover it."""
    async with with_default(node.url, f"t{uuid.uuid4().hex[:10]}") as broker:
        yield broker


async def in_thread(work: Callable[..., object], *arguments: str) -> None:
    """Call a blocking function of the node in a thread."""
    await asyncio.to_thread(work, *arguments)


@asynccontextmanager
async def away(node: RabbitNode) -> AsyncIterator[None]:
    """Make the node unreachable, without connections, while the block runs."""
    await in_thread(node.operator.suspend_listeners)
    try:
        await in_thread(node.operator.close_all_connections)
        yield
    finally:
        await in_thread(node.operator.resume_listeners)


async def publish_until(stop: asyncio.Event, publisher: Publisher) -> list[Event]:
    """Publish one event after another until the event is set; return the confirmed ones."""
    confirmed = []
    while not stop.is_set():
        event = an_event()
        await publisher.publish(event, deadline=within(PATIENCE))
        confirmed.append(event)
    return confirmed


@pytest.mark.parametrize("hurt", ["kill and start", "close connections"])
async def test_back_under_load(node: RabbitNode, broker: Broker, hurt: str) -> None:
    """While the broker stops and restarts, every confirmed event is delivered."""
    consumer = await consuming(broker, "default", prefetch=20)
    seen: set[str] = set()

    async def work() -> None:
        while True:
            delivery = await consumer.receive()
            seen.add(delivery.envelope.event.id)
            try:
                await delivery.ack()
            except DeliveryLost:
                continue

    worker = asyncio.create_task(work())
    stop = asyncio.Event()
    publishing = [asyncio.create_task(publish_until(stop, broker.publisher())) for _ in range(3)]
    await until(lambda: len(seen) > 50)

    if hurt == "kill and start":
        await asyncio.sleep(1.5)  # RabbitMQ 3.10 loses a queue that was declared within the second before a crash
        await in_thread(node.kill)
        await in_thread(node.start)
    else:
        await in_thread(node.operator.close_all_connections)

    count = len(seen)
    await until(lambda: len(seen) > count + 50)
    stop.set()
    confirmed = {event.id for events in await asyncio.gather(*publishing) for event in events}
    await until(lambda: confirmed <= seen)
    worker.cancel()


async def test_stale_ack(node: RabbitNode, broker: Broker) -> None:
    """A delivery of a closed connection cannot be settled; the event is delivered again with the same token."""
    consumer = await consuming(broker, "default")
    await broker.publisher().publish(an_event())
    stale = await take(consumer)

    await in_thread(node.operator.close_all_connections)

    again = await take(consumer)
    assert (again.token, again.redelivered, consumer.breaks) == (stale.token, True, 1)
    for verb in (stale.ack(), stale.give_back(), stale.retry(an_envelope(), AT_ONCE)):
        with pytest.raises(DeliveryLost):
            await verb
    await again.ack()


async def test_a_consumer_that_rabbitmq_has_forgotten(node: RabbitNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """It connects again when its queue has messages and delivers none."""
    monkeypatch.setattr(stalls, "LOOKED_EVERY", 0.2)
    namespace = f"t{uuid.uuid4().hex[:10]}"
    async with with_default(node.url, namespace) as broker:
        consumer = await consuming(broker, "default")
        await in_thread(node.operator.forget_consumers, Names(namespace).queue("default"))
        event = an_event()
        await broker.publisher().publish(event)

        delivery = await take(consumer)

        assert (delivery.envelope.event.id, consumer.breaks) == (event.id, 1)
        await delivery.ack()


async def test_an_ordered_queue_that_has_forgotten_its_consumers(
    node: RabbitNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer that RabbitMQ had chosen connects again; one that stood by does not."""
    monkeypatch.setattr(stalls, "LOOKED_EVERY", 0.2)
    namespace, mail = f"t{uuid.uuid4().hex[:10]}", Queue("mail", ("mail.#",), ordered=True)
    async with with_queue(node.url, namespace, mail) as broker, with_queue(node.url, namespace, mail) as other:
        chosen, standing_by = await consuming(broker, "mail"), await consuming(other, "mail")
        await broker.publisher().publish(an_event("mail.first"))
        await (await take(chosen)).ack()
        await in_thread(node.operator.forget_consumers, Names(namespace).queue("mail"))
        event = an_event("mail.second")
        await broker.publisher().publish(event)

        delivery = await take(chosen)

        assert (delivery.envelope.event.id, chosen.breaks, standing_by.breaks) == (event.id, 1, 0)
        await delivery.ack()


async def test_a_retry_that_waits_for_an_alarm_to_end_comes_once(
    node: RabbitNode, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry that is written while RabbitMQ blocks publishers arrives once: RabbitMQ reads it when it has memory
    again, so it must not be written twice. Meanwhile the consumer reports the reason."""
    consumer = await consuming(broker, "default")
    await broker.publisher().publish(an_event())
    delivery = await take(consumer)
    await delivery.retry(delivery.envelope, AT_ONCE)  # opens all connections
    delivery = await take(consumer)
    await in_thread(node.raise_memory_alarm)
    try:
        monkeypatch.setattr("bridge.brokers.rabbitmq.publishing.publisher.PUBLISH_SECONDS", 0.1)
        retry = asyncio.create_task(delivery.retry(delivery.envelope, AT_ONCE))
        await until(lambda: "out of memory" in consumer.trouble)
        assert await asyncio.wait({retry}, timeout=1.0) == (set(), {retry})
    finally:
        await in_thread(node.clear_memory_alarm)

    await retry
    assert consumer.trouble == ""
    await (await take(consumer)).ack()
    await await_backlog(consumer, default=Backlog(0, 0, 0))


async def test_a_stop_that_rabbitmq_is_slow_to_hear_of_cuts_nothing_off(node: RabbitNode, broker: Broker) -> None:
    """If RabbitMQ answers a stop late, held deliveries can be settled afterwards, and are not delivered again."""
    consumer = await consuming(broker, "default")
    await broker.publisher().publish(an_event())
    delivery = await take(consumer)
    node.pause()
    try:
        await consumer.stop()
    finally:
        node.resume()

    await delivery.ack()

    await await_backlog(consumer, default=Backlog(0, 0, 0))
    await consumer.close()
    await await_backlog(await consuming(broker, "default"), default=Backlog(0, 0, 0))


async def test_original_is_held_until_the_copy_is_confirmed(node: RabbitNode, broker: Broker) -> None:
    """A retry that was written but not confirmed leaves its original on RabbitMQ."""
    consumer = await consuming(broker, "default")
    await broker.publisher().publish(an_event())
    delivery = await take(consumer)
    await delivery.retry(delivery.envelope, AT_ONCE)  # opens all connections
    delivery = await take(consumer)
    node.pause()

    retry = asyncio.create_task(delivery.retry(delivery.envelope, AT_ONCE))
    await asyncio.wait({retry}, timeout=0.3)

    retry.cancel()
    node.resume()
    await consumer.close()
    tokens = {again.token for again in await take_and_ack(await consuming(broker, "default"), 2)}
    assert delivery.token in tokens


async def test_unconfirmed(node: RabbitNode, broker: Broker) -> None:
    """An event that was written to a frozen broker may have been published, and the error says so with the event's
    id."""
    publisher = broker.publisher()
    await publisher.publish(an_event())
    event = an_event()
    node.pause()
    try:
        with pytest.raises(DeferUnconfirmed) as raised:
            await publisher.publish(event, deadline=within(0.3))
    finally:
        node.resume()
    assert raised.value.event_id == event.id


async def test_away(node: RabbitNode, broker: Broker) -> None:
    """If the broker is unreachable, a publish ends within its time, and nothing was published."""
    publisher = broker.publisher()
    await publisher.publish(an_event("first"))
    async with away(node):
        # Else "lost" may still be written to the connection that ends.
        await until(lambda: bool(cast(RabbitPublisher, publisher).trouble))
        for anyone in (publisher, broker.publisher()):
            began = time.monotonic()
            with pytest.raises(BrokerUnavailable):
                await anyone.publish(an_event("lost"), deadline=within(0.5))
            assert time.monotonic() - began < 30
    await publisher.publish(an_event("last"), deadline=within(PATIENCE))
    names = [taken.envelope.event.name for taken in await take_and_ack(await consuming(broker, "default"), 2)]
    assert names == ["first", "last"]


async def test_declare_while_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declaring on an unreachable broker gives up after some time, and names the broker."""
    monkeypatch.setattr("bridge.brokers.rabbitmq.broker.DECLARE_SECONDS", 1.0)
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1/"):
        await open_broker("amqp://127.0.0.1:1/", "t").declare([Queue("default")])
    assert 0.5 < time.monotonic() - began < 30


async def test_waits_for_a_broker_that_comes(node: RabbitNode, broker: Broker) -> None:
    """A publish with enough time waits for the broker, and so does a consumer that starts."""
    async with away(node):
        publishing = asyncio.create_task(broker.publisher().publish(an_event(), deadline=within(PATIENCE)))
        starting = asyncio.create_task(consuming(broker, "default"))
        await asyncio.wait({publishing, starting}, timeout=0.5)

    await publishing
    await take(await starting)


async def test_blocked(node: RabbitNode, broker: Broker) -> None:
    """A broker out of memory takes no publishes, but held deliveries can be acknowledged; afterwards publishing
    continues."""
    publisher = broker.publisher()
    consumer = await consuming(broker, "default")
    await publisher.publish(an_event())
    held = await take(consumer)
    await in_thread(node.raise_memory_alarm)
    try:

        async def blocked() -> bool:
            try:
                await publisher.publish(an_event("filling"), deadline=within(0.3))
            except DeferUnconfirmed:
                return False
            except BrokerUnavailable as error:
                return "memory" in str(error)
            return False

        await eventually(blocked, bool)
        await held.ack()
    finally:
        await in_thread(node.clear_memory_alarm)
    await publisher.publish(an_event("last"), deadline=within(PATIENCE))
    while (await take(consumer)).envelope.event.name != "last":
        pass


async def test_close_is_bounded(node: RabbitNode, broker: Broker) -> None:
    """Closing takes some seconds at most, also with a broker that does not answer."""
    await broker.publisher().publish(an_event())
    await consuming(broker, "default")
    node.pause()
    try:
        began = time.monotonic()
        await broker.close()
        assert time.monotonic() - began < 30
    finally:
        node.resume()


async def test_wrong_password(node: RabbitNode) -> None:
    """A refused login raises at once, without the password in the message."""
    broker = open_broker(node.url.replace("guest:guest", "guest:sesame"), "bridge")
    with pytest.raises(BrokerRefused) as raised:
        await broker.declare([Queue("default")])
    assert "sesame" not in f"{raised.value} {broker.name}"
    with pytest.raises(BrokerRefused):
        await broker.consumer().start({"default": 1})
    with pytest.raises(BrokerUnavailable):
        await broker.publisher().publish(an_event(), deadline=within(5))
    await broker.close()


async def test_other_hosts(node: RabbitNode) -> None:
    """Of several hosts, the one that answers is used."""
    url = f"amqp://guest:guest@127.0.0.1:1,127.0.0.1:{node.port},127.0.0.1:2/"
    broker = open_broker(url, f"t{uuid.uuid4().hex[:10]}")
    await broker.declare([Queue("default")])

    await broker.publisher().publish(an_event())

    await take(await consuming(broker, "default"))
    await broker.close()


async def test_delay_outlasts_a_restart(node: RabbitNode, broker: Broker) -> None:
    """A delayed event survives a restart, and is not early. It is due after the node has restarted: RabbitMQ repeats a
    dead-lettering that failed during the start only three minutes later."""
    publisher, due = broker.publisher(), now() + timedelta(seconds=3 * node.start_seconds + 10)
    await publisher.publish(an_event("delayed"), due)

    await in_thread(node.restart)

    await publisher.publish(an_event("at.once"), deadline=within(PATIENCE))
    consumer, arrived = await consuming(broker, "default"), {}
    for _ in range(2):
        (delivery,) = await take_and_ack(consumer, 1)
        arrived[delivery.envelope.event.name] = now()
    assert arrived["delayed"] >= due
    assert arrived.keys() == {"delayed", "at.once"}
