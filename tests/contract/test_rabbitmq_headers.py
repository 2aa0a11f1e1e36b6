"""Messages on RabbitMQ with headers that nobody should write: each is read by itself, in a queue and in the ledger."""

import struct
from collections.abc import AsyncIterator, Callable

import pytest
from pamqp.commands import Basic

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.ledger import Dead
from bridge.queues import Queue
from tests.contract.acts import an_event, consuming, entries_of, eventually, names_until_last, take_and_ack
from tests.contract.rabbitmq_site import RabbitSite

pytestmark = pytest.mark.rabbitmq


def field(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + value


def sized(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack(">I", len(content)) + content


def nested(depth: int, kind: bytes = b"F") -> bytes:
    """Return a value that is nested this deep."""
    value = b"V"
    for _ in range(depth):
        value = sized(kind, field(b"", value) if kind == b"F" else value)
    return value


SHAPES: dict[str, bytes] = {
    "tables 5,000 deep": field(b"deep", nested(5_000)),
    "arrays 5,000 deep": field(b"deep", nested(5_000, b"A")),
    "tables in x-death 700 deep": field(b"x-death", nested(700)),
    "arrays in an x- header 700 deep": field(b"x-mine", nested(700, b"A")),
    "tables in our own header": field(b"bridge-envelope", nested(700)),
    "a forged offset": field(b"x-stream-offset", b"l" + struct.pack(">q", 2**62)),
    "a forged offset of text": field(b"x-stream-offset", sized(b"S", b"now")),
    "20,000 fields": b"".join(field(b"%d" % number, b"V") for number in range(10_000)),
    "our headers with other types": field(b"bridge-due", b"t\1") + field(b"bridge-letter", b"d" + bytes(8)),
}


class Headers(Basic.Properties):
    """Properties with these headers, byte for byte."""

    raw = b""

    def marshal(self) -> bytes:
        return struct.pack(">H", self.flags["headers"]) + struct.pack(">I", len(self.raw)) + self.raw


def with_headers(raw: bytes) -> Headers:
    properties = Headers()
    properties.raw = raw
    return properties


@pytest.fixture
async def open_one(rabbit_site: RabbitSite) -> AsyncIterator[Callable[[], Broker]]:
    opened: list[Broker] = []

    def open_another() -> Broker:
        opened.append(open_broker(rabbit_site.url, rabbit_site.namespace))
        return opened[-1]

    yield open_another
    for broker in opened:
        await broker.close()


@pytest.mark.parametrize("shape", SHAPES)
async def test_in_a_queue(rabbit_site: RabbitSite, open_one: Callable[[], Broker], shape: str) -> None:
    """The connection of the consumer stays. Honest events next to the message are delivered once, with no earlier
    delivery, and the message itself becomes an event or a dead letter."""
    broker = open_one()
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("first"))
    await rabbit_site.publish_raw(f"{rabbit_site.namespace}.events", "foreign", b"data", with_headers(SHAPES[shape]))
    await publisher.publish(an_event("second"))
    consumer = await consuming(broker, "default")

    taken = await take_and_ack(consumer, 2 if shape == "tables in our own header" else 3)
    await publisher.publish(an_event("last"))

    assert {each.envelope.event.name for each in taken} >= {"first", "second"}
    assert not any(each.redelivered for each in taken)
    assert await names_until_last(consumer) == []
    if len(taken) == 2:
        (entry,) = await eventually(lambda: entries_of(broker), bool)
        assert isinstance(entry, Dead)
        assert entry.reason == "unreadable"


@pytest.mark.parametrize("shape", SHAPES)
async def test_in_the_ledger(rabbit_site: RabbitSite, open_one: Callable[[], Broker], shape: str) -> None:
    """A message that expired in a queue comes to the ledger with its headers. The ledger is read to its end."""
    broker = open_one()
    await broker.declare([Queue("default")])
    raw = with_headers(SHAPES[shape])
    await rabbit_site.publish_raw(f"{rabbit_site.namespace}.dlx", "default", b"data", raw)
    await rabbit_site.publish_raw(f"{rabbit_site.namespace}.dlx", "default", b"last", None)

    entries = await eventually(lambda: entries_of(broker), lambda entries: len(entries) == 2)

    assert [entry.number for entry in entries] == [0, 1]
    letters = [await broker.ledger().letter(entry.number) for entry in entries]
    assert [letter and letter.envelope.event.data for letter in letters] == [b"data", b"last"]
    assert await entries_of(open_one()) == entries
