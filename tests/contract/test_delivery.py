"""An event is delivered as it was published, to the byte and the microsecond."""

from datetime import UTC, datetime

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.queues import Queue
from tests.contract.acts import an_envelope, an_event, consuming, names_until_last, take, take_and_ack
from tests.contract.conftest import OpenBroker

BODIES = {
    "empty": b"",
    "one byte": b"\0",
    "64 KiB - 1": b"a" * 65_535,
    "64 KiB": b"b" * 65_536,
    "64 KiB + 1": b"c" * 65_537,
    "1 MiB": bytes(range(256)) * 4096,
    "every byte value": bytes(range(256)),
    "invalid UTF-8": b"\xff\xfe\xc3(\xed\xa0\x80",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_body_byte_for_byte(broker: Broker, body: bytes) -> None:
    """A body arrives unchanged, whatever its length and its bytes."""
    await broker.declare([Queue("default")])
    event = an_event(data=body, content_type="application/octet-stream")

    await broker.publisher().publish(event)

    delivery = await take(await consuming(broker, "default"))
    assert delivery.envelope.event == event


async def test_attributes(broker: Broker) -> None:
    """Id, name, source, time to the microsecond, content type and trace context arrive unchanged."""
    await broker.declare([Queue("default")])
    event = an_event("a-b.C_d.9", content_type='text/plain; charset="utf-8"; note=ünïcode')._replace(
        source="/shop/é?x=1",
        time=datetime(2031, 2, 3, 4, 5, 6, 789_001, tzinfo=UTC),
    )

    await broker.publisher().publish(event)

    delivery = await take(await consuming(broker, "default"))
    assert delivery.envelope.event == event
    assert delivery.queue == "default"


async def test_event_without_trace(broker: Broker) -> None:
    """An event without a trace context arrives without one."""
    await broker.declare([Queue("default")])
    event = an_event()._replace(traceparent=None)

    await broker.publisher().publish(event)

    assert (await take(await consuming(broker, "default"))).envelope.event.traceparent is None


async def test_fresh_envelope(broker: Broker) -> None:
    """A published event begins its first round without earlier attempts."""
    await broker.declare([Queue("default")])

    await broker.publisher().publish(an_event())

    envelope = (await take(await consuming(broker, "default"))).envelope
    assert (envelope.round, envelope.spent, envelope.attempts, envelope.finished) == (1, 0, (), ())


async def test_acked_does_not_come_again(broker: Broker) -> None:
    """An acknowledged event is not delivered again, not even to a later consumer."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("first"))
    consumer = await consuming(broker, "default")

    await take_and_ack(consumer, 1)

    await consumer.close()
    await publisher.publish(an_event("last"))
    assert await names_until_last(await consuming(broker, "default")) == []


async def test_published_while_consumed(broker: Broker) -> None:
    """A waiting consumer receives an event that is published later."""
    await broker.declare([Queue("default")])
    consumer = await consuming(broker, "default")

    await broker.publisher().publish(an_event("account.closed"))

    assert (await take(consumer)).envelope.event.name == "account.closed"


async def test_one_after_another(broker: Broker) -> None:
    """Events that are published one after another arrive in this order."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    events = [an_event(f"step.{number}") for number in range(50)]

    for event in events:
        await publisher.publish(event)

    taken = await take_and_ack(await consuming(broker, "default"), 50)
    assert [delivery.envelope.event for delivery in taken] == events


async def test_tokens_tell_messages_apart(broker: Broker) -> None:
    """Two messages have two tokens, even if they carry the same event."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    event = an_event()
    await publisher.publish(event)
    await publisher.publish(event)

    taken = await take_and_ack(await consuming(broker, "default"), 2)

    assert taken[0].token != taken[1].token


async def test_put_reaches_its_queue_alone(broker: Broker) -> None:
    """An envelope that is put into a queue goes only there, whatever the patterns are."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("rest", ("#",))])
    publisher = broker.publisher()

    await publisher.put(an_envelope(an_event("account.created")), "mail")
    await publisher.put(an_envelope(an_event("last")), "rest")

    assert (await take(await consuming(broker, "mail"))).envelope.event.name == "account.created"
    assert await names_until_last(await consuming(broker, "rest")) == []


async def test_delivered_to_another_process(broker: Broker, another_broker: OpenBroker) -> None:
    """One process consumes the events that another one publishes."""
    await broker.declare([Queue("default")])
    consumer = await consuming(another_broker(), "default")
    event = an_event()

    await broker.publisher().publish(event)

    assert (await take(consumer)).envelope.event == event


async def test_close_twice(broker: Broker) -> None:
    """A broker and its parts may be closed twice."""
    await broker.declare([Queue("default")])
    publisher, consumer, ledger = broker.publisher(), await consuming(broker, "default"), broker.ledger()

    for closable in (publisher, consumer, ledger, broker) * 2:
        await closable.close()
