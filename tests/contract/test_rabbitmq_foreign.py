"""Messages that somebody else published to RabbitMQ, in every shape that RabbitMQ lets through."""

import json
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pamqp.commands import Basic

from bridge.brokers.contract import Broker, Delivery
from bridge.brokers.opening import open_broker
from bridge.brokers.rabbitmq.wire import ENVELOPE
from bridge.envelope import encode_head
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
    """What becomes of a foreign message to the events exchange."""
    await site.publish_raw(f"{site.namespace}.events", "order.paid", data, properties)
    return await take(await consuming(broker, "default"))


async def test_with_all_attributes(site: RabbitSite, broker: Broker) -> None:
    """Id, name, time, content type and app become the event's."""
    moment = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    properties = Basic.Properties(message_id="m-1", content_type="text/csv", timestamp=moment, app_id="erp")

    event = (await taken(site, broker, properties, b"\0\xff")).envelope.event

    assert (event.id, event.name, event.source, event.time) == ("m-1", "order.paid", "erp", moment)
    assert (event.content_type, event.data) == ("text/csv", b"\0\xff")


async def test_without_properties(site: RabbitSite, broker: Broker) -> None:
    """A bare message gets an id that stays with it, however often it is delivered."""
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
    """Nothing that could break a request's headers is handed out."""
    event = (await taken(site, broker, properties)).envelope.event

    for text in (event.id, event.source, event.content_type):
        assert text.isascii()
        assert text.isprintable()
    assert event.content_type == "application/octet-stream"


async def test_undecodable_properties(site: RabbitSite, broker: Broker) -> None:
    """Properties that are no UTF-8, and a time beyond the calendar, end nobody's connection."""
    delivery = await taken(site, broker, RawProperties())

    assert delivery.envelope.event.id.isascii()
    assert not delivery.redelivered


async def test_name_that_is_none(site: RabbitSite, broker: Broker) -> None:
    """A routing key that is no event name goes to the ledger without a replay; the next is taken."""
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
    """Messages of one id are told apart, and each is taken and settled for itself."""
    for data in (b"1", b"2"):
        await site.publish_raw(f"{site.namespace}.events", "order.paid", data, Basic.Properties(message_id="same"))

    first, second = await take_and_ack(await consuming(broker, "default", prefetch=2), 2)

    assert {first.envelope.event.data, second.envelope.event.data} == {b"1", b"2"}
    assert {first.envelope.event.id, second.envelope.event.id} == {"same"}
    assert first.token != second.token


@pytest.mark.parametrize("wrong", [{"type": "é" * 300}, {"id": "\ud800"}, {"source": "x" * 70_000}])
async def test_envelope_that_nothing_can_carry(site: RabbitSite, broker: Broker, wrong: dict[str, str]) -> None:
    """What no property and no request can hold goes to the ledger, and keeps no event from being taken."""
    head = json.loads(encode_head(an_envelope(an_event("order.damaged")))) | wrong
    properties = Basic.Properties(headers={ENVELOPE: json.dumps(head)})
    await site.publish_raw(f"{site.namespace}.events", "order.damaged", b"", properties)
    await broker.publisher().publish(an_event("last"))

    assert await names_until_last(await consuming(broker, "default", prefetch=1)) == []

    assert len(await eventually(lambda: entries_of(broker), bool)) == 1


async def test_envelope_from_before_all_timestamps(site: RabbitSite, broker: Broker) -> None:
    """An event of a time that AMQP has no number for is taken all the same."""
    head = json.loads(encode_head(an_envelope(an_event("order.old")))) | {"time": "0001-01-01T00:00:00Z"}
    properties = Basic.Properties(headers={ENVELOPE: json.dumps(head)})
    await site.publish_raw(f"{site.namespace}.events", "order.old", b"", properties)

    (taken,) = await take_and_ack(await consuming(broker, "default"), 1)

    assert taken.envelope.event.name == "order.old"


async def test_what_its_publisher_let_expire_is_in_the_ledger(site: RabbitSite, broker: Broker) -> None:
    """With that for its reason: nobody has ever run it."""
    await broker.declare([Queue("default")])
    properties = Basic.Properties(message_id="m-1", expiration="1")
    await site.publish_raw(f"{site.namespace}.events", "order.old", b"body", properties)

    (entry,) = await eventually(lambda: entries_of(broker), bool)

    assert isinstance(entry, Dead)
    assert (entry.reason, entry.queue, entry.event_id) == ("expired", "default", "m-1")


async def test_retry_carries_nothing_foreign(site: RabbitSite, broker: Broker) -> None:
    """Headers of the original do not travel with its retry: RabbitMQ would take them for a cycle."""
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
    assert set(found.headers or {}) - {"x-delivery-count"} == {"bridge-envelope"}


@pytest.mark.parametrize("data", [b"", b"no letter at all"])
async def test_foreign_message_in_the_ledger(site: RabbitSite, broker: Broker, data: bytes) -> None:
    """Whatever stands in the ledger's stream can be listed and shown, and hides nothing else."""
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

    assert [type(entry) for entry in entries] == [Dead] * 5
    for entry in entries:
        letter = await broker.ledger().letter(entry.number)
        assert letter is not None
        assert letter.reason == "unreadable"
        assert letter.envelope.event.data == data


class BareProperties(Basic.Properties):
    """None at all; aiormq would add a message id."""

    def marshal(self) -> bytes:
        return b"\0\0"


class RawProperties(Basic.Properties):
    """A message id and a type that are no UTF-8, a header's name and value too, and a time beyond the calendar."""

    def marshal(self) -> bytes:
        flags = self.flags["headers"] | self.flags["message_id"] | self.flags["timestamp"] | self.flags["message_type"]
        table = b"\x02\xff\xfeS" + struct.pack(">I", 2) + b"\xff\xfe"
        headers = struct.pack(">I", len(table)) + table
        return struct.pack(">H", flags) + headers + b"\x02\xff\xfe" + struct.pack(">Q", 2**63 - 1) + b"\x02\xc3\x28"
