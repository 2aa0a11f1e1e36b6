"""RabbitMQ only: the messages of older bridges become events, none lost, and their failures are theirs again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pamqp.commands import Basic

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.foreign_messages.source import ForeignSource
from bridge.foreign_messages.target import Target
from bridge.queues import Queue
from tests.contract.acts import a_letter, consuming, entries_of, eventually, take, take_and_ack
from tests.contract.rabbitmq_site import RabbitSite
from tests.limits import PATIENCE

pytestmark = pytest.mark.rabbitmq

FERVO = b"dispatch_path: /srv/d.php\nfastcgi_host: a\nfastcgi_port: 1\n\nQUJD"


@pytest.fixture
async def old(rabbit_site: RabbitSite) -> AsyncIterator[str]:
    """A queue of an older bridge, which is not durable, as FervoDeferredEventBundle declares it."""
    name = f"{rabbit_site.namespace}_old"
    async with rabbit_site.channel() as channel:
        await channel.queue_declare(name, durable=False)
        yield name
        await channel.queue_delete(name)


def queue(old: str, **more: Any) -> Queue:
    """A queue of the site that takes the messages."""
    return Queue("legacy", foreign=ForeignSource(old, "fervo", "legacy.event", (Target("/srv/d.php"),), **more))


async def opened(site: RabbitSite, *queues: Queue) -> Broker:
    """The broker of one worker."""
    broker = open_broker(site.url, site.namespace)
    await broker.declare(queues)
    return broker


async def test_a_message_is_an_event(rabbit_site: RabbitSite, old: str) -> None:
    """Its data is the message, byte for byte; each message has an id of its own, equal bodies too."""
    broker = await opened(rabbit_site, queue(old))
    try:
        consumer = await consuming(broker, "legacy")
        for body in (FERVO, FERVO, b"\xff\x00"):
            await rabbit_site.publish_raw("", old, body)

        events = [delivery.envelope.event for delivery in await take_and_ack(consumer, 3)]

        assert sorted(event.data for event in events) == sorted([FERVO, FERVO, b"\xff\x00"])
        assert {event.name for event in events} == {"legacy.event"}
        assert len({event.id for event in events}) == 3
    finally:
        await broker.close()


async def test_workers_that_end_lose_none(rabbit_site: RabbitSite, old: str) -> None:
    """Of many messages, while workers come and go at any moment, each is an event at least once, and few twice."""
    bodies = {b"dispatch_path: /d\n\n%d" % number for number in range(300)}
    async with rabbit_site.channel() as channel:
        for body in bodies:
            await channel.basic_publish(body, routing_key=old)
    for moment in (0.0, 0.01, 0.03, 0.06, 0.1):
        broker = await opened(rabbit_site, queue(old))
        await consuming(broker, "legacy", prefetch=1)
        await asyncio.sleep(moment)
        await broker.close()

    broker = await opened(rabbit_site, queue(old))
    try:
        consumer = await consuming(broker, "legacy", prefetch=50)
        seen: list[bytes] = []
        async with asyncio.timeout(PATIENCE):
            while not bodies <= set(seen):
                (delivery,) = await take_and_ack(consumer, 1)
                seen.append(delivery.envelope.event.data)
    finally:
        await broker.close()


async def test_a_letter_is_a_failure_of_the_older_bridge_too(rabbit_site: RabbitSite, old: str) -> None:
    """It is in both; without the queue of errors it is in the ledger."""
    broker = await opened(rabbit_site, queue(old, errors=True))
    errors = f"{old}_errors"
    try:
        consumer = await consuming(broker, "legacy")
        for declared in (True, False):
            async with rabbit_site.channel() as channel:
                if declared:
                    await channel.queue_declare(errors, durable=True)
                await rabbit_site.publish_raw("", old, FERVO)
                delivery = await take(consumer)
                await delivery.dead_letter(a_letter(delivery))
                if declared:
                    got = await channel.basic_get(errors, no_ack=True)
                    assert isinstance(got.delivery, Basic.GetOk)
                    head, body = FERVO.split(b"\n\n")
                    assert got.body == head + b"\nerror: no such account\n\n" + body
                    await channel.queue_delete(errors)
        await eventually(lambda: entries_of(broker), lambda entries: len(entries) == 2)
    finally:
        await broker.close()


async def test_a_queue_that_is_not_there_stops_no_other(
    rabbit_site: RabbitSite, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says once what is missing, and the other queues go on: the consumer has no trouble."""
    broker = await opened(rabbit_site, queue("no such queue"), Queue("default"))
    try:
        consumer = await consuming(broker, "legacy", "default")
        await rabbit_site.publish_raw(f"{rabbit_site.namespace}.events", "order.paid", b"1")
        assert (await take(consumer)).envelope.event.name == "order.paid"

        async def warnings() -> list[str]:
            return [text for text in caplog.messages if text.startswith("queue 'no such queue' of an older bridge")]

        await eventually(warnings, bool)
        await asyncio.sleep(1)
        (warning,) = await warnings()
        assert "NOT_FOUND" in warning
        assert consumer.trouble == ""
    finally:
        await broker.close()
