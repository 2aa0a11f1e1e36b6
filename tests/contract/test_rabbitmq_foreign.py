"""Foreign messages on RabbitMQ, in every form that RabbitMQ accepts."""

import json
import struct
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pamqp.commands import Basic

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Delivery
from bridge.brokers.opening import open_broker
from bridge.brokers.rabbitmq.topology.delay_ladder import bits
from bridge.brokers.rabbitmq.topology.messages import ENVELOPE
from bridge.envelope import encode_head
from bridge.event import plain_id
from bridge.ledger import Dead
from bridge.queues import Queue
from tests.contract.acts import (
    AT_ONCE,
    an_envelope,
    an_event,
    consuming,
    entries_of,
    eventually,
    names_until_last,
    soon,
    take,
    take_and_ack,
)
from tests.contract.rabbitmq_site import RabbitSite

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def site(rabbit_site: RabbitSite) -> RabbitSite:
    """A namespace of this test's own."""
    return rabbit_site


@pytest.fixture
async def broker(site: RabbitSite) -> AsyncIterator[Broker]:
    """A broker with the catch-all."""
    broker = open_broker(site.url, site.namespace)
    await broker.declare([Queue("default")])
    yield broker
    await broker.close()


async def taken(site: RabbitSite, broker: Broker, properties: Basic.Properties | None, data: bytes = b"") -> Delivery:
    """Publish a foreign message to the events exchange, and return its delivery."""
    await site.publish_raw(f"{site.namespace}.events", "order.paid", data, properties)
    return await take(await consuming(broker, "default"))


async def test_with_all_attributes(site: RabbitSite, broker: Broker) -> None:
    """Id, name, time, content type and app become the event's attributes."""
    moment = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    properties = Basic.Properties(message_id="m-1", content_type="text/csv", timestamp=moment, app_id="erp")

    event = (await taken(site, broker, properties, b"\0\xff")).envelope.event

    assert (event.id, event.name, event.source, event.time) == ("m-1", "order.paid", "erp", moment)
    assert (event.content_type, event.data) == ("text/csv", b"\0\xff")


async def test_without_properties(site: RabbitSite, broker: Broker) -> None:
    """A message without properties gets an id, which is the same in every delivery."""
    await site.publish_raw(f"{site.namespace}.events", "order.paid", b"bare", BareProperties())
    consumer = await consuming(broker, "default")

    first = await take(consumer)
    await first.give_back()
    second = await take(consumer)

    event = first.envelope.event
    assert (event.name, event.data, event.content_type) == ("order.paid", b"bare", "application/octet-stream")
    assert (second.envelope.event, second.token) == (event, first.token)
    await second.ack()
    await broker.publisher().publish(an_event("last"))
    assert await names_until_last(consumer) == []


@pytest.mark.parametrize(
    "properties",
    [
        Basic.Properties(message_id="i\nd", content_type="text/plain\r\nX-Evil: 1", app_id="a\0b"),
        Basic.Properties(message_id="ü", content_type="ünïcode", app_id="é"),
        Basic.Properties(message_id="i", headers={"x-death": "nonsense", "bridge-due": "never"}),
        Basic.Properties(message_id="i", headers={"x-death": [{"reason": 5, "queue": [1]}], "bridge-letter": 5}),
    ],
)
async def test_unsafe_attributes(site: RabbitSite, broker: Broker, properties: Basic.Properties) -> None:
    """An attribute that could break a request's headers is not used."""
    event = (await taken(site, broker, properties)).envelope.event

    for text in (event.id, event.source, event.content_type):
        assert text.isascii()
        assert text.isprintable()
    assert event.content_type == "application/octet-stream"


@pytest.mark.parametrize("own", ["../x", "a b", "ü", "a'b", "x" * 250 + " y"])
async def test_id_that_is_not_plain(site: RabbitSite, broker: Broker, own: str) -> None:
    """An id that is not safe everywhere is replaced by one that is derived from it: the same for the same id."""
    first = (await taken(site, broker, Basic.Properties(message_id=own))).envelope.event.id

    assert first == plain_id(own) != own
    assert str(uuid.UUID(first)) == first


async def test_undecodable_properties(site: RabbitSite, broker: Broker) -> None:
    """Properties that are not UTF-8, and a time beyond the calendar, break no connection."""
    delivery = await taken(site, broker, RawProperties())

    assert delivery.envelope.event.id.isascii()
    assert not delivery.redelivered


async def test_name_that_is_none(site: RabbitSite, broker: Broker) -> None:
    """A message whose routing key is no event name goes to the ledger without a replay; the next one is taken."""
    properties = Basic.Properties(message_id="m-1")
    await site.publish_raw(f"{site.namespace}.events", "no name!", b"data", properties)
    await broker.publisher().publish(an_event("last"))

    assert await names_until_last(await consuming(broker, "default")) == []

    (entry,) = await eventually(lambda: entries_of(broker), bool)
    assert isinstance(entry, Dead)
    assert (entry.reason, entry.queue, entry.event_name) == ("not an event", "default", "no name!")
    letter = await broker.ledger().letter(entry.number)
    assert letter is not None
    assert letter.envelope.event.data == b"data"


async def test_one_id_for_all(site: RabbitSite, broker: Broker) -> None:
    """Several messages with the same id are separate: each is taken and settled."""
    for data in (b"1", b"2"):
        await site.publish_raw(f"{site.namespace}.events", "order.paid", data, Basic.Properties(message_id="same"))

    first, second = await take_and_ack(await consuming(broker, "default", prefetch=2), 2)

    assert {first.envelope.event.data, second.envelope.event.data} == {b"1", b"2"}
    assert {first.envelope.event.id, second.envelope.event.id} == {"same"}
    assert first.token != second.token


@pytest.mark.parametrize("wrong", [{"type": "é" * 300}, {"id": "\ud800"}, {"source": "x" * 70_000}])
async def test_envelope_that_nothing_can_carry(site: RabbitSite, broker: Broker, wrong: dict[str, str]) -> None:
    """An event that fits in no property and no request goes to the ledger, and blocks no other event."""
    head = json.loads(encode_head(an_envelope(an_event("order.damaged")))) | wrong
    properties = Basic.Properties(headers={ENVELOPE: json.dumps(head)})
    await site.publish_raw(f"{site.namespace}.events", "order.damaged", b"", properties)
    await broker.publisher().publish(an_event("last"))

    assert await names_until_last(await consuming(broker, "default", prefetch=1)) == []

    assert len(await eventually(lambda: entries_of(broker), bool)) == 1


async def test_envelope_from_before_all_timestamps(site: RabbitSite, broker: Broker) -> None:
    """An event with a time that AMQP cannot represent is taken."""
    head = json.loads(encode_head(an_envelope(an_event("order.old")))) | {"time": "0001-01-01T00:00:00Z"}
    properties = Basic.Properties(headers={ENVELOPE: json.dumps(head)})
    await site.publish_raw(f"{site.namespace}.events", "order.old", b"", properties)

    (taken,) = await take_and_ack(await consuming(broker, "default"), 1)

    assert taken.envelope.event.name == "order.old"


async def test_what_its_publisher_let_expire_is_in_the_ledger(site: RabbitSite, broker: Broker) -> None:
    """A message that expired, as its publisher asked, goes to the ledger with this reason: it never ran."""
    await broker.declare([Queue("default")])
    properties = Basic.Properties(message_id="m-1", expiration="1")
    await site.publish_raw(f"{site.namespace}.events", "order.old", b"body", properties)

    (entry,) = await eventually(lambda: entries_of(broker), bool)

    assert isinstance(entry, Dead)
    assert (entry.reason, entry.queue, entry.event_id) == ("expired", "default", "m-1")


async def test_retry_carries_nothing_foreign(site: RabbitSite, broker: Broker) -> None:
    """A retry has no headers of the original, which RabbitMQ could take for a dead-letter cycle."""
    properties = Basic.Properties(message_id="m-1", headers={"x-death": [{"queue": "q", "count": 9}], "mine": "1"})
    delivery = await taken(site, broker, properties, b"body")

    await delivery.retry(delivery.envelope, AT_ONCE)

    async with site.channel() as channel:
        await broker.close()

        async def got() -> Basic.Properties | None:
            message = await channel.basic_get(f"{site.namespace}.q.default", no_ack=True)
            return message.header.properties if isinstance(message.delivery, Basic.GetOk) else None

        found = await eventually(got, lambda properties: properties is not None)
    assert found is not None
    assert set(found.headers or {}) - {"x-delivery-count", "x-acquired-count"} == {"bridge-envelope"}


@pytest.mark.parametrize("data", [b"", b"no letter at all"])
async def test_foreign_message_in_the_ledger(site: RabbitSite, broker: Broker, data: bytes) -> None:
    """Any message in the ledger's stream can be listed and shown, and hides no other."""
    shapes: tuple[dict[str, Any], ...] = (
        {},
        {"bridge-letter": "{"},
        {"bridge-decision": "[]"},
        {"bridge-envelope": "7"},
        {"x-death": [{"reason": 5, "queue": [1], "routing-keys": [2], "time": "x"}], "bridge-letter": 5},
    )
    for headers in shapes:
        await site.publish_raw(f"{site.namespace}.dlx", "x", data, Basic.Properties(headers=headers, message_id="m"))
    await site.publish_raw(f"{site.namespace}.dlx", "x", data, RawProperties())
    consumer = await consuming(broker, "default")
    await broker.publisher().publish(an_event())
    await take_and_ack(consumer, 1)

    entries = await entries_of(broker)

    assert [type(entry) for entry in entries] == [Dead] * 6
    for entry in [entry for entry in entries if isinstance(entry, Dead)]:
        letter = await broker.ledger().letter(entry.number)
        assert letter is not None
        assert letter.reason == "unreadable"
        assert letter.envelope.event.data == data


class BareProperties(Basic.Properties):
    """Properties without any field; aiormq would add a message id."""

    def marshal(self) -> bytes:
        return b"\0\0"


class RawProperties(Basic.Properties):
    """A message id, a type, and a header's name and value that are not UTF-8, and a time beyond the calendar."""

    def marshal(self) -> bytes:
        flags = self.flags["headers"] | self.flags["message_id"] | self.flags["timestamp"] | self.flags["message_type"]
        table = b"\x02\xff\xfeS" + struct.pack(">I", 2) + b"\xff\xfe"
        headers = struct.pack(">I", len(table)) + table
        return struct.pack(">H", flags) + headers + b"\x02\xff\xfe" + struct.pack(">Q", 2**63 - 1) + b"\x02\xc3\x28"


@pytest.mark.parametrize(
    ("exchange", "routing_key"),
    [
        ("events", "order.paid"),
        ("rest", "order.paid"),
        ("delay.00", f"{bits(1)}.e.order.paid"),
        ("delay.03", f"{bits(0)}.e.order.paid"),
        ("delay.out", f"{bits(0)}.e.order.paid"),
    ],
)
async def test_a_forged_name_is_in_the_ledger(
    site: RabbitSite, broker: Broker, exchange: str, routing_key: str
) -> None:
    """An envelope with another name than the one that RabbitMQ has permitted is not replayed; the true one is."""
    for name in ("admin.added", "order.paid"):
        head = encode_head(an_envelope(an_event(name)))
        properties = Basic.Properties(message_id=name, message_type=name, headers={ENVELOPE: head})
        await site.publish_raw(f"{site.namespace}.{exchange}", routing_key, b"{}", properties)

    (delivery,) = await take_and_ack(await consuming(broker, "default"), 1)
    (entry,) = await eventually(lambda: entries_of(broker), bool)

    assert delivery.envelope.event.name == "order.paid"
    assert isinstance(entry, Dead)
    assert (entry.reason, entry.queue, entry.event_name) == ("forged name", "default", "admin.added")
    letter = await broker.ledger().letter(entry.number)
    assert letter is not None
    assert letter.error.message == "published as 'order.paid', but its envelope says 'admin.added'"


async def test_an_envelope_for_one_queue_has_any_name(site: RabbitSite, broker: Broker) -> None:
    """A retry or a redrive is published to a queue and not under a name."""
    await broker.publisher().put(an_envelope(an_event("order.paid")), "default")
    await broker.publisher().put(an_envelope(an_event("order.sent")), "default", soon())

    taken = await take_and_ack(await consuming(broker, "default"), 2)

    assert [each.envelope.event.name for each in taken] == ["order.paid", "order.sent"]
