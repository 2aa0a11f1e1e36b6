"""The deliveries in the bytes of a connection: taken in any pieces, and all other frames left as they are."""

import struct
from datetime import UTC, datetime
from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from bridge.brokers.rabbitmq.connection.client_internals import adapt_client
from bridge.brokers.rabbitmq.connection.delivery_stream import (
    HEARTBEAT,
    Deliver,
    DeliveryStream,
    read_header,
    read_method,
)

Taken = list[tuple[Deliver, Basic.Properties, bytes]]
CHANNEL = 1


def stream() -> tuple[DeliveryStream, Taken]:
    """Return a stream that takes the deliveries of one channel, and the list of what it took."""
    taken: Taken = []
    deliveries = DeliveryStream()
    deliveries.take(CHANNEL, lambda method, properties, body: taken.append((method, properties, body)))
    return deliveries, taken


def octets(*frames: Any, channel: int = CHANNEL) -> bytes:
    """Return frames as RabbitMQ sends them."""
    return b"".join(pamqp.frame.marshal(frame, channel) for frame in frames)


def delivery(tag: int, *parts: bytes, channel: int = CHANNEL) -> bytes:
    """Return a delivery whose body has these parts."""
    properties = Basic.Properties(content_type="text/plain", message_id=str(tag))
    size = sum(map(len, parts))
    return octets(
        Basic.Deliver("consumer", tag, False, "exchange", "key"),
        ContentHeader(0, size, properties),
        *map(ContentBody, parts),
        channel=channel,
    )


OTHER = octets(Basic.QosOk()) + delivery(9, b"of another channel", channel=2) + HEARTBEAT
MIXED = (
    delivery(1, b"one")
    + OTHER
    + delivery(2)
    + delivery(3, b"three", b" ", b"parts")
    + octets(Basic.CancelOk("consumer"))
    + delivery(4, b"four")
)
LEFT = OTHER + octets(Basic.CancelOk("consumer"))
BODIES = [(1, b"one"), (2, b""), (3, b"three parts"), (4, b"four")]


def bodies(taken: Taken) -> list[tuple[int, bytes]]:
    """Return the tag and the body of each delivery."""
    return [(method.delivery_tag, body) for method, _, body in taken]


def test_whole() -> None:
    """The deliveries of the channel are taken in their order; all other frames are left, byte for byte."""
    deliveries, taken = stream()

    assert deliveries.feed(MIXED) == LEFT
    assert bodies(taken) == BODIES
    assert taken[0][0] == Deliver(1, "consumer", False, "exchange", "key")
    assert taken[0][1].content_type == "text/plain"


@given(some.lists(some.integers(1, 60), min_size=1))
def test_in_pieces(sizes: list[int]) -> None:
    """The pieces in which bytes arrive make no difference. Only whole frames are left."""
    deliveries, taken = stream()
    left, at, number = b"", 0, 0
    while at < len(MIXED):
        size = sizes[number % len(sizes)]
        piece = deliveries.feed(MIXED[at : at + size])
        left, at, number = left + piece, at + size, number + 1
        assert frames_in(piece) is not None

    assert left == LEFT
    assert bodies(taken) == BODIES


@given(some.integers(1, 12), some.integers(1, len(MIXED)))
def test_some_frames_at_a_time(at_most: int, second: int) -> None:
    """The next calls take the frames that wait, in the same order, and then those that have arrived meanwhile."""
    deliveries, taken = stream()
    left = deliveries.feed(MIXED[:second], at_most)
    assert len(taken) <= at_most
    left += deliveries.feed(MIXED[second:], 0 if deliveries.behind else at_most)
    while deliveries.behind:
        before = len(taken)
        left += deliveries.feed(b"", at_most)
        assert len(taken) - before <= at_most

    assert left == LEFT
    assert bodies(taken) == BODIES


@given(some.lists(some.tuples(some.integers(1, 60), some.integers(0, 5)), min_size=1))
def test_some_frames_at_a_time_of_pieces(steps: list[tuple[int, int]]) -> None:
    """Neither the pieces nor the number of frames in each call make a difference."""
    deliveries, taken = stream()
    left, at, number = b"", 0, 0
    while at < len(MIXED):
        size, at_most = steps[number % len(steps)]
        piece = deliveries.feed(MIXED[at : at + size], at_most)
        left, at, number = left + piece, at + size, number + 1
        assert frames_in(piece) is not None
    left += deliveries.feed(b"")

    assert not deliveries.behind
    assert left == LEFT
    assert bodies(taken) == BODIES


@given(some.integers(0, 6), some.integers(1, 200))
def test_all_bytes_after_no_frame_are_left(at_most: int, size: int) -> None:
    """Those too that have arrived while frames before them were waiting."""
    deliveries, taken = stream()
    wrong = b"HTTP/1.1 400 Bad Request"
    data = delivery(1, b"one") + delivery(2, b"two") + wrong
    left = b"".join(deliveries.feed(data[at : at + size], at_most) for at in range(0, len(data), size))
    left += deliveries.feed(b"")

    assert bodies(taken) == [(1, b"one"), (2, b"two")]
    assert left == wrong
    assert deliveries.feed(b"more") == b"more"


def test_bytes_that_are_no_frames_are_behind_nothing() -> None:
    """The stream ends with them: there is nothing to go on with."""
    deliveries, _ = stream()
    deliveries.feed(delivery(1, b"y") + delivery(2, b"x")[:-1] + b"\0", 3)
    assert deliveries.behind
    deliveries.feed(b"", 3)
    assert not deliveries.behind


def frames_in(data: bytes) -> list[object]:
    """Return the frames of bytes that have whole frames only; pamqp raises for any other."""
    frames: list[object] = []
    while data:
        used, _, frame = pamqp.frame.unmarshal(data)
        frames.append(frame)
        data = data[used:]
    return frames


def test_a_large_frame_is_not_copied_at_each_piece() -> None:
    """A body of many megabytes in one frame arrives in small pieces, and is put together once."""
    body = bytes(8 * 1024**2)
    data = delivery(1, body)
    deliveries, taken = stream()
    for at in range(0, len(data), 1024):
        assert deliveries.feed(data[at : at + 1024]) == b""

    assert bodies(taken) == [(1, body)]


def test_a_channel_that_is_closed_within_a_delivery() -> None:
    """The part of the delivery is dropped, and the close is left. Another channel of that number is not read."""
    deliveries, taken = stream()
    begun = octets(Basic.Deliver("consumer", 1, False, "", "key"), ContentHeader(0, 5, Basic.Properties()))
    close = octets(commands.Channel.Close(406, "too large", 0, 0))

    assert deliveries.feed(begun + close) == close
    assert deliveries.feed(delivery(1, b"later")) == delivery(1, b"later")
    assert taken == []


@pytest.mark.parametrize("method", [Basic.GetOk(1, False, "", "key", 0), Basic.Return(312, "NO_ROUTE", "", "key")])
def test_a_message_that_is_no_delivery(method: object) -> None:
    """A message that is got or returned has a header and a body too, and is left."""
    deliveries, taken = stream()
    message = octets(method, ContentHeader(0, 1, Basic.Properties()), ContentBody(b"x"))

    assert deliveries.feed(message + delivery(1, b"y")) == message
    assert bodies(taken) == [(1, b"y")]


def test_a_delivery_that_another_message_interrupts() -> None:
    """RabbitMQ does not do that. The header of the other message is not taken for that of the delivery."""
    deliveries, taken = stream()
    begun = octets(Basic.Deliver("consumer", 1, False, "", "key"))
    message = octets(Basic.GetOk(1, False, "", "key", 0), ContentHeader(0, 1, Basic.Properties()), ContentBody(b"x"))

    assert deliveries.feed(begun + message) == message
    assert taken == []


def test_bytes_that_are_no_frames() -> None:
    """Bytes after a frame without its end are all left, so that aiormq reports them."""
    deliveries, taken = stream()
    damaged = delivery(2, b"x")[:-1] + b"\0"

    left = deliveries.feed(delivery(1, b"y") + damaged) + deliveries.feed(b"more")

    assert (damaged + b"more").endswith(left)
    assert left.endswith(b"\0more")
    assert bodies(taken) == [(1, b"y")]


def test_the_heartbeat_is_that_of_amqp() -> None:
    """The heartbeat is a frame that pamqp reads as one."""
    assert isinstance(pamqp.frame.unmarshal(HEARTBEAT)[2], Heartbeat)


@given(some.binary(max_size=60), some.binary(max_size=60), some.integers(1, 2**63 - 1), some.booleans())
def test_methods(consumer: bytes, key: bytes, tag: int, redelivered: bool) -> None:
    """Any names are read, also such that are not UTF-8; pamqp reads the same."""
    adapt_client()
    payload = struct.pack(">HHB", 60, 60, len(consumer)) + consumer + struct.pack(">QB", tag, redelivered)
    payload += b"\x02ex" + bytes([len(key)]) + key
    read = pamqp.frame.unmarshal(struct.pack(">BHI", 1, 1, len(payload)) + payload + b"\xce")[2]

    assert isinstance(read, Basic.Deliver)
    assert read_method(payload) == (tag, read.consumer_tag, redelivered, "ex", read.routing_key)


ALL = Basic.Properties(
    content_type="a/b",
    content_encoding="gzip",
    headers={"bridge-envelope": "{}", "n": 1},
    delivery_mode=2,
    priority=3,
    correlation_id="c",
    reply_to="r",
    expiration="1000",
    message_id="m",
    timestamp=datetime(2030, 1, 1, tzinfo=UTC),
    message_type="t",
    user_id="u",
    app_id="app",
)


@pytest.mark.parametrize("left_out", [None, *sorted(set(Basic.Properties.flags) - {"cluster_id"})])
def test_properties(left_out: str | None) -> None:
    """All properties are read, whichever a message has."""
    properties = Basic.Properties(**{name: getattr(ALL, name) for name in ALL.flags if name != left_out})
    payload = pamqp.frame.marshal(ContentHeader(0, 7, properties), 1)[7:-1]

    assert read_header(payload) == (7, properties)


@given(some.binary(max_size=40))
def test_a_header_of_any_bytes(tail: bytes) -> None:
    """Nothing in a message's properties raises, and the size of its body is read."""
    assert read_header(struct.pack(">HHQ", 60, 0, 5) + b"\xff\xff" + tail)[0] == 5
    assert read_header(struct.pack(">HHQ", 60, 0, 5) + b"\xf8\xf8" + tail)[0] == 5
