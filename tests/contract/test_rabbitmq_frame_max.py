"""RabbitMQ with small frames (`frame_max`), or a smaller `max_message_size` than before: every event ends."""

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from pamqp.commands import Basic

from bridge.attempt import Attempt, Error
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Delivery
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.connection import client_internals
from bridge.brokers.rabbitmq.consuming.foreign_intake import PREFETCH
from bridge.envelope import encode_head
from bridge.errors import TooLarge
from bridge.foreign_messages.source import ForeignSource
from bridge.ledger import Dead, Letter, Transcript
from bridge.queues import Queue
from tests.contract.acts import (
    AT_ONCE,
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
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq

WORST = Error("E" * 500, '"' * 1_000, "€" * 20_000)


@contextmanager
def setting(node: RabbitNode, name: str, value: int) -> Iterator[None]:
    """Change a setting of the node for new connections while the block runs. RabbitMQ 4 keeps it in a second place."""

    def change(new: str) -> None:
        node.eval(f"application:set_env(rabbit, {name}, {new}).")
        node.eval(f"persistent_term:put({name}, {new}).")

    before = node.eval(f"{{ok, Value}} = application:get_env(rabbit, {name}), Value.")
    change(str(value))
    try:
        yield
    finally:
        change(before)


@pytest.fixture
async def site(node: RabbitNode) -> AsyncIterator[RabbitSite]:
    """A namespace with the catch-all."""
    namespace = f"t{uuid.uuid4().hex[:8]}"
    broker = RabbitBroker.from_url(node.url, namespace)
    await broker.declare([Queue("default")])
    yield RabbitSite(node.url, namespace)
    await broker.remove([Queue("default")])
    await broker.close()


@pytest.fixture
async def broker(site: RabbitSite) -> AsyncIterator[Broker]:
    """The broker as one process uses it."""
    broker = RabbitBroker.from_url(site.url, site.namespace)
    yield broker
    await broker.close()


def tried(delivery: Delivery) -> Any:
    """Return the envelope with the largest history that a worker makes."""
    envelope = delivery.envelope._replace(spent=30, finished=tuple(f"shop.listeners:{n:090}" for n in range(300)))
    for number in range(30):
        envelope = envelope.remember(Attempt(1, number, now(), 0.1, "Failed", "v" * 200, WORST))
    return envelope


async def test_a_retry_and_a_letter_fit_into_the_frames_of_the_connection(
    node: RabbitNode, site: RabbitSite, broker: Broker
) -> None:
    """On a broker with frames of 16 KiB the largest retry and the largest letter are confirmed at once."""
    with setting(node, "frame_max", 16_384):
        await broker.publisher().publish(an_event("order.paid", b"x" * 50_000))
        consumer = await consuming(broker, "default")
        delivery = await take(consumer)
        envelope = tried(delivery)
        await delivery.retry(envelope, AT_ONCE)
        again = await take(consumer)
        transcript = Transcript({"A": "a" * 90_000}, 500, {"b": "b" * 90_000}, "c" * 90_000, "d" * 90_000)
        await again.dead_letter(
            Letter(now(), "default", "rejected", again.envelope.remember(envelope.attempts[0]), WORST, transcript)
        )

        (entry,) = await eventually(lambda: entries_of(broker), bool)

        assert again.envelope.event == delivery.envelope.event
        assert (again.envelope.spent, again.token != delivery.token) == (30, True)
        letter = await broker.ledger().letter(entry.number)
        assert letter is not None
        assert (letter.envelope.event, letter.error.type) == (delivery.envelope.event, "E" * 100)
        await broker.close()


async def test_an_event_whose_attributes_do_not_fit_is_refused_at_once(
    node: RabbitNode, site: RabbitSite, broker: Broker
) -> None:
    """The publisher gets the answer before anything is sent, and its connection stays."""
    large = an_event()._replace(source="€" * 1000, content_type="€" * 1000, traceparent="€" * 1000)
    with setting(node, "frame_max", 8_192):
        publisher = broker.publisher()
        await publisher.publish(an_event("first"))
        with pytest.raises(TooLarge, match="take more than 7168 bytes"):
            await publisher.publish(large)
        await publisher.publish(an_event("last"))
        await broker.close()


@pytest.mark.parametrize("verb", ["retry", "dead_letter"])
async def test_a_message_that_no_settlement_can_replace_is_moved_to_the_ledger(
    node: RabbitNode, site: RabbitSite, broker: Broker, verb: str
) -> None:
    """After `max_message_size` was lowered, the event in the queue can only be moved by RabbitMQ itself. The letter has
    its data, and the next event is taken."""
    publisher = broker.publisher()
    await publisher.publish(an_event("order.large", b"x" * 3_000))
    await publisher.publish(an_event("order.small"))
    with setting(node, "max_message_size", 2_000):
        consumer = await consuming(broker, "default", prefetch=1)
        delivery = await take(consumer)
        if verb == "retry":
            await delivery.retry(tried(delivery), timedelta(seconds=5))
        else:
            await delivery.dead_letter(Letter(now(), "default", "rejected", delivery.envelope, WORST))

        small = await take(consumer)
        (entry,) = await eventually(lambda: entries_of(broker), bool)

    assert small.envelope.event.name == "order.small"
    await small.ack()
    assert isinstance(entry, Dead)
    assert (entry.reason, entry.queue, entry.event_id) == ("set aside", "default", delivery.envelope.event.id)
    letter = await broker.ledger().letter(entry.number)
    assert letter is not None
    assert letter.envelope.event.data == b"x" * 3_000


async def test_foreign_messages_that_cannot_be_replaced_block_nothing(
    node: RabbitNode, site: RabbitSite, broker: Broker
) -> None:
    """Foreign messages beyond `max_message_size`, also with an unreadable envelope, are moved to the ledger; more of
    them than the prefetch do not stop the queue."""
    for number in range(4):
        properties = Basic.Properties(message_id=f"m{number}", headers={"bridge-envelope": "{"} if number % 2 else None)
        await site.publish_raw(f"{site.namespace}.events", "order.large", b"x" * 3_000, properties)
    head = json.loads(encode_head(an_envelope(an_event("order.small"))))
    own = Basic.Properties(message_id="own", message_type="order.small", headers={"bridge-envelope": json.dumps(head)})
    await site.publish_raw(f"{site.namespace}.events", "order.small", b"", own)
    with setting(node, "max_message_size", 2_000):
        consumer = await consuming(broker, "default", prefetch=2)
        small = await take(consumer)
        await small.ack()
        entries = await eventually(lambda: entries_of(broker), lambda entries: len(entries) == 4)

    assert small.envelope.event.name == "order.small"
    assert {entry.reason for entry in entries if isinstance(entry, Dead)} == {"set aside"}


@pytest.mark.parametrize("type", ["classic", "quorum"])
async def test_messages_of_an_older_bridge_that_are_too_large_stay_and_block_nothing(
    node: RabbitNode, site: RabbitSite, type: str
) -> None:
    """More of them than the prefetch do not stop their queue, and all are still in it when the worker has ended. An
    event may come again with its id: RabbitMQ closes the channel at a message that is too large, and drops confirms."""
    old, large = f"{site.namespace}_old", 2 * PREFETCH + 10
    queue = Queue("legacy", foreign=ForeignSource(old, "fervo", "legacy.event"))
    broker = RabbitBroker.from_url(node.url, site.namespace)
    await broker.declare([queue])
    async with site.channel() as channel:
        await channel.queue_declare(old, durable=True, arguments={"x-queue-type": type})
        for _ in range(large):
            await channel.basic_publish(b"x" * 3_000, routing_key=old)
        for number in range(5):
            await channel.basic_publish(str(number).encode(), routing_key=old)
    try:
        with setting(node, "max_message_size", 2_000):
            consumer = await consuming(broker, "legacy")
            ids: dict[bytes, set[str]] = {str(number).encode(): set() for number in range(5)}
            while not all(ids.values()):
                (delivery,) = await take_and_ack(consumer, 1)
                ids[delivery.envelope.event.data].add(delivery.envelope.event.id)
            await consumer.stop()
            await broker.close()

        assert {len(each) for each in ids.values()} == {1}

        async def left() -> int:
            return await site.count(old, durable=True)

        assert await eventually(left, lambda count: count == large)
    finally:
        await broker.remove([queue])
        await broker.close()
        async with site.channel() as channel:
            await channel.queue_delete(old)


async def test_an_envelope_with_texts_without_bounds_can_be_retried_and_buried(
    site: RabbitSite, broker: Broker
) -> None:
    """A publisher's envelope of 100 KB, with 300 long names of listeners and an outcome of quotes, has both ends."""
    (attempt,) = json.loads(encode_head(an_envelope().remember(Attempt(1, 1, now(), 0.1, "Failed"))))["attempts"]
    head = json.loads(encode_head(an_envelope(an_event("order.paid")))) | {
        "spent": 1,
        "finished": [f"{number}{'n' * 150}" for number in range(300)],
        "attempts": [attempt | {"outcome": '"' * 20_000, "release": "r" * 500}],
    }
    properties = Basic.Properties(message_id="m", headers={"bridge-envelope": json.dumps(head)})
    await site.publish_raw(f"{site.namespace}.events", "order.paid", b"", properties)
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)

    await delivery.retry(delivery.envelope.remember(Attempt(1, 2, now(), 0.1, "Failed", None, WORST)), AT_ONCE)
    again = await take(consumer)
    await again.dead_letter(Letter(now(), "default", "rejected", again.envelope, WORST))

    (entry,) = await eventually(lambda: entries_of(broker), bool)
    letter = await broker.ledger().letter(entry.number)
    assert letter is not None
    assert [each.number for each in letter.envelope.attempts] == [1, 2]
    assert letter.envelope.finished[:2] == tuple(head["finished"][:2])
    await broker.close()


async def test_frame_max_is_that_of_the_connection(node: RabbitNode, site: RabbitSite, broker: Broker) -> None:
    """The client's negotiated limit is what RabbitMQ offers."""
    from bridge.brokers.rabbitmq.connection.address import address
    from bridge.brokers.rabbitmq.connection.connecting import connect, disconnect, engine_of, open_channel

    with setting(node, "frame_max", 16_384):
        connection = await connect(address(site.url))
        channel = await engine_of(await open_channel(connection, confirms=False))
        assert client_internals.frame_max(channel) == 16_384
        await disconnect(connection)
