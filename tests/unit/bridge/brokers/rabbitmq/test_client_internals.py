"""The internals of aio-pika, aiormq and pamqp that the bridge depends on. A test that fails here after an upgrade shows
what the new version changed; only `client_internals` has to be adapted.
"""

import asyncio
import inspect
import re
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from socket import socketpair
from typing import Any, cast

import aio_pika
import aiormq.abc
import aiormq.channel
import aiormq.connection
import pamqp.frame
import pytest
from aiormq.channel import Channel as Engine
from aiormq.connection import Connection as EngineConnection
from hypothesis import given
from hypothesis import strategies as some
from pamqp import commands, encode
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat
from yarl import URL

from bridge.brokers.rabbitmq.connection.client_internals import (
    ALIVE_EVERY,
    DeliveringConnection,
    DeliveringReader,
    adapt_client,
    detach_engine,
    engine_connection,
    is_blocked,
    read_deliveries,
    socket_has_room,
    write_frames,
)
from bridge.brokers.rabbitmq.connection.delivery_stream import DeliveryStream, TakeDelivery
from bridge.brokers.rabbitmq.connection.field_tables import MAX_DEPTH, MAX_VALUES, short_string, table, time
from tests.limits import PATIENCE

FOREIGN = pamqp.frame.marshal(Basic.Deliver("tag", 1, False, "", "k"), 1).replace(b"\x01k", b"\x01\xff")
"""A delivery whose routing key is not UTF-8."""

IMPORT_AND_ADAPT = f"""
import logging
import pamqp.frame
import bridge.brokers.rabbitmq.broker
from bridge.brokers.rabbitmq.connection.client_internals import adapt_client

try:
    pamqp.frame.unmarshal({FOREIGN!r})
except Exception:
    print("refused,", len(logging.getLogger("aiormq").handlers), end=" ")
adapt_client()
adapt_client()
print("read as", pamqp.frame.unmarshal({FOREIGN!r})[2].routing_key + ",", len(logging.getLogger("aiormq").handlers))
"""


def test_nothing_changes_before_the_client_is_adapted() -> None:
    """Importing the broker changes neither pamqp nor logging; adapting twice is the same as once."""
    done = subprocess.run([sys.executable, "-c", IMPORT_AND_ADAPT], capture_output=True, text=True, check=True)

    assert done.stdout == "refused, 0 read as \\xff, 1\n"


def test_pamqp_decodes_through_its_registries() -> None:
    """The adapted decoders are used for headers and properties, also in nested tables."""
    adapt_client()
    properties = Basic.Properties(headers={"k": {"k": datetime(2030, 1, 1, tzinfo=UTC)}}, timestamp=datetime.now(UTC))
    frame = pamqp.frame.marshal(ContentHeader(0, 5, properties), 1)
    stamp = struct.pack(">Q", int(datetime(2030, 1, 1, tzinfo=UTC).timestamp()))

    read = pamqp.frame.unmarshal(frame.replace(stamp, b"\xff" * 8))[2]

    assert isinstance(read, ContentHeader)
    assert read.properties.headers == {"k": {"k": None}}


@pytest.mark.parametrize(
    "octets", [b"", b"\x20", b"\x20\x00", b"\x20\x00\0\0\0\x09", b"\xff\xff" * 9, b"\x80\x00\xffab"]
)
def test_a_header_that_cannot_be_decoded_is_that_messages_alone(octets: bytes) -> None:
    """The frame is read with its body size. An exception here would end the connection at each delivery."""
    adapt_client()
    frame = pamqp.frame.marshal(ContentHeader(0, 5, Basic.Properties()), 1)
    payload = frame[7:19] + octets

    read = pamqp.frame.unmarshal(frame[:3] + struct.pack(">I", len(payload)) + payload + b"\xce")[2]

    assert isinstance(read, ContentHeader)
    assert read.body_size == 5


def test_aiormq_reports_why_a_virtual_host_is_refused() -> None:
    """aiormq accepts a reply whose name is among the valid responses, and otherwise loses its text."""
    adapt_client()

    assert commands.Connection.Open.valid_responses == ["Connection.OpenOk", "Connection.Close"]
    assert commands.Connection.Close.name == "Connection.Close"


@pytest.fixture
async def connection() -> DeliveringConnection:
    """An open aiormq connection, without a socket."""
    connection = DeliveringConnection(URL("amqp://nowhere/"))
    connection.connection_tune = commands.Connection.Tune(channel_max=10, frame_max=131072, heartbeat=0)
    connection.connected.set()
    handler(connection, "unblocked")(commands.Connection.Unblocked())
    return connection


def handler(connection: EngineConnection, name: str) -> Any:
    """Return aiormq's handler of the frame for a blocked or an unblocked connection."""
    handle = getattr(connection, f"_Connection__handle_connection_{name}")

    def at(frame: object) -> None:
        with pytest.raises(StopIteration):
            handle(frame).send(None)

    return at


async def test_blocked(connection: EngineConnection) -> None:
    """aiormq's `ready()` waits exactly while RabbitMQ blocks the connection."""
    before = is_blocked(connection)
    handler(connection, "blocked")(commands.Connection.Blocked("memory"))
    meanwhile = is_blocked(connection)
    handler(connection, "unblocked")(commands.Connection.Unblocked())

    assert (before, meanwhile, is_blocked(connection)) == (False, True, False)


@pytest.fixture
async def channel(connection: EngineConnection) -> AsyncIterator[Engine]:
    """A channel of that connection."""
    channel = Engine(connection, 1, publisher_confirms=False)
    yield channel
    await channel.close()


class Socket(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.writes))


def socket_of(connection: DeliveringConnection) -> Socket:
    """Give the connection a socket."""
    socket, loop = Socket(), asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    connection.transports.writer = asyncio.StreamWriter(socket, asyncio.StreamReaderProtocol(reader), reader, loop)
    return socket


async def test_acknowledgements_are_written_in_one_piece(connection: DeliveringConnection, channel: Engine) -> None:
    """They go to the socket at once. aiormq's writer gives whole frames to the same socket, in one piece each."""
    socket = socket_of(connection)
    frames: list[Basic.Ack | Basic.Nack] = [Basic.Nack(3, requeue=True), Basic.Nack(4, requeue=False)]
    frames += [Basic.Ack(7, multiple=True), Basic.Ack(2**63 - 1)]

    write_frames(channel, frames)

    assert socket.writes == [b"".join(pamqp.frame.marshal(frame, 1) for frame in frames)]
    written = re.findall(r"writer\.write\((.*)\)", inspect.getsource(aiormq.connection).partition("def __writer")[2])
    assert set(written) == {"channel_frame.payload", "ChannelFrame.marshall(0, [frame]).payload"}


async def test_a_socket_that_has_just_ended_takes_no_frames(connection: DeliveringConnection, channel: Engine) -> None:
    """uvloop raises for it until aiormq has closed the connection."""
    reader, other_end = socketpair()
    with reader, other_end:
        _, connection.transports.writer = await asyncio.open_connection(sock=reader)
        connection.transports.writer.write_eof()

        write_frames(channel, [Basic.Ack(1)])

        assert other_end.recv(100) == b""


async def test_a_socket_that_is_stuck_takes_no_frames(connection: DeliveringConnection, channel: Engine) -> None:
    """Only so many bytes may wait for the socket."""
    socket_of(connection)
    before = socket_has_room(channel)
    while socket_has_room(channel):
        write_frames(channel, [Basic.Ack(1)] * 1000)

    assert before


def test_aiormq_opens_its_socket_through_a_factory() -> None:
    """The factory of a connection gets these arguments, and returns the two streams that aiormq uses."""
    source = inspect.getsource(aiormq.connection)

    assert re.search(r"reader, writer = await self\._transport_factory\.create\(\s*self\.url,", source)
    assert "ssl_context_provider=SSLContextProvider(" in source
    assert 'kwargs.pop("ssl_context_provider")' in source


async def test_aiormq_uses_two_methods_of_the_reader() -> None:
    """What a reader returns is all that aiormq gets of the frames."""
    used = re.findall(r"\breader\.(\w+)", inspect.getsource(aiormq.connection))

    assert set(used) == {"readexactly", "at_eof", "read"}


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


DELIVERY = b"".join(
    pamqp.frame.marshal(frame, 1)
    for frame in (
        Basic.Deliver("consumer", 1, False, "", "key"),
        ContentHeader(0, 5, Basic.Properties(content_type="text/plain")),
        ContentBody(b"hello"),
    )
)


async def test_aiormq_reads_all_but_the_deliveries(channel: Engine) -> None:
    """The deliveries of a channel go to its callback, and the other frames to aiormq."""
    delivered: list[tuple[int, bytes]] = []
    reader = DeliveringReader(deliveries_of(channel), Clock())
    receiver = aiormq.connection.FrameReceiver(reader)
    read_deliveries(channel, lambda method, properties, body: delivered.append((method.delivery_tag, body)))

    reader.feed_data(DELIVERY + pamqp.frame.marshal(Basic.QosOk(), 1))
    async with asyncio.timeout(PATIENCE):
        _, number, frame = await receiver.get_frame()

    assert (number, type(frame)) == (1, Basic.QosOk)
    assert delivered == [(1, b"hello")]


async def test_many_deliveries_are_read_in_several_turns(channel: Engine) -> None:
    """Other work of the loop comes between them. At the end of the stream, the rest is read at once."""
    delivered: list[bytes] = []
    reader = DeliveringReader(deliveries_of(channel), Clock())
    read_deliveries(channel, lambda method, properties, body: delivered.append(body))

    reader.feed_data(DELIVERY * 20)
    reader.feed_data(DELIVERY)
    assert len(delivered) == 8
    await asyncio.sleep(0)
    assert len(delivered) == 16
    reader.feed_data(DELIVERY * 3)
    reader.feed_eof()
    assert len(delivered) == 24
    await asyncio.sleep(0)
    assert len(delivered) == 24
    assert await reader.read() == b""


async def test_what_arrived_before_a_broken_connection_is_read_first(channel: Engine) -> None:
    """aiormq learns of the end after the last frame, as it does without deliveries that wait to be read."""
    delivered: list[bytes] = []
    reader = DeliveringReader(deliveries_of(channel), Clock())
    read_deliveries(channel, lambda method, properties, body: delivered.append(body))

    reader.feed_data(DELIVERY * 20 + pamqp.frame.marshal(Basic.QosOk(), 1))
    reader.set_exception(ConnectionResetError())

    assert len(delivered) == 20
    assert reader._buffer == pamqp.frame.marshal(Basic.QosOk(), 1)  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    assert len(delivered) == 20


async def test_a_stream_may_end_twice(channel: Engine) -> None:
    """The loop reports the end when the peer sends no more, and again when the socket is closed, which may be later."""
    clock = Clock()
    reader = DeliveringReader(deliveries_of(channel), clock)
    for _ in range(2):
        clock.now += ALIVE_EVERY
        reader.feed_eof()
    assert await reader.read() == b""


class Aborted:
    """A transport that notes that it was aborted."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True


def fail_from(number: int, delivered: list[bytes]) -> TakeDelivery:
    """Return a callback that raises with the delivery of this number and those after it."""

    def deliver(method: object, properties: object, body: bytes) -> None:
        delivered.append(body)
        if len(delivered) >= number:
            raise RuntimeError("a defect")

    return deliver


async def test_an_error_in_a_later_turn_ends_the_connection(channel: Engine) -> None:
    """The frames after it are lost, so RabbitMQ has to send them again. The loop ends the connection itself after an
    error in the first turn."""
    loop = asyncio.get_running_loop()
    errors: list[object] = []
    loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
    delivered: list[bytes] = []
    transport = Aborted()
    reader = DeliveringReader(deliveries_of(channel), Clock())
    reader.set_transport(cast("asyncio.Transport", transport))
    read_deliveries(channel, fail_from(10, delivered))

    reader.feed_data(DELIVERY * 20)
    assert not transport.aborted
    await asyncio.sleep(0)
    assert transport.aborted
    assert [str(error) for error in errors] == ["a defect"]
    reader.feed_eof()
    assert len(delivered) == 10


async def test_an_error_at_the_end_of_the_stream_is_logged(channel: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """The connection ends nevertheless."""
    reader = DeliveringReader(deliveries_of(channel), Clock())
    read_deliveries(channel, fail_from(9, []))

    reader.feed_data(DELIVERY * 20)
    reader.feed_eof()

    assert await reader.read() == b""
    assert [record.message for record in caplog.records if record.exc_info] == [
        "internal error while reading the last frames of a connection"
    ]


async def test_deliveries_keep_a_connection_alive(channel: Engine) -> None:
    """aiormq closes a connection that brings no frame for long. While only deliveries come, it reads heartbeats."""
    clock = Clock()
    reader = DeliveringReader(deliveries_of(channel), clock)
    receiver = aiormq.connection.FrameReceiver(reader)
    read_deliveries(channel, lambda method, properties, body: None)

    reader.feed_data(DELIVERY)
    at_once = len(reader._buffer)  # type: ignore[attr-defined]
    clock.now = ALIVE_EVERY
    reader.feed_data(DELIVERY)
    reader.feed_data(DELIVERY)
    async with asyncio.timeout(PATIENCE):
        _, number, frame = await receiver.get_frame()

    assert at_once == 0
    assert (number, type(frame)) == (0, Heartbeat)
    assert reader._buffer == b""  # type: ignore[attr-defined]
    assert "self.__last_frame_time = self.loop.time()" in inspect.getsource(aiormq.connection)


def deliveries_of(channel: Engine) -> DeliveryStream:
    """Return the stream that takes the deliveries of a channel's connection."""
    connection = channel.connection
    assert isinstance(connection, DeliveringConnection)
    return connection.deliveries


class Transport:
    """The transport of an aio-pika connection, which aio-pika must not close."""

    def __init__(self, connection: EngineConnection) -> None:
        self.connection = connection


async def test_a_detached_engine_is_not_closed_twice(connection: EngineConnection) -> None:
    """Without its transport, aio-pika's close returns at once, and the connection counts as closed."""
    outer = aio_pika.Connection(URL("amqp://nowhere/"))
    outer.transport = Transport(connection)  # type: ignore[assignment]  # all that is used of it

    assert engine_connection(outer) is connection
    assert detach_engine(outer) is connection
    assert detach_engine(outer) is None
    async with asyncio.timeout(PATIENCE):
        await outer.close()
    assert outer.is_closed


@given(some.binary(max_size=255), some.binary(max_size=5))
def test_short_string_of_any_bytes(octets: bytes, tail: bytes) -> None:
    """Any bytes can be decoded as a short string; UTF-8 is decoded as usual."""
    used, text = short_string(bytes([len(octets)]) + octets + tail)

    assert used == len(octets) + 1
    assert text == octets.decode(errors="backslashreplace")


@given(some.integers(0, 2**64 - 1))
def test_any_time(seconds: int) -> None:
    """Any 64 bits can be decoded as a time, or as None."""
    used, moment = time(struct.pack(">Q", seconds))

    assert used == 8
    assert moment is None or moment.tzinfo is UTC


def test_milliseconds() -> None:
    """A number that can only be milliseconds is decoded as milliseconds."""
    assert time(struct.pack(">Q", 1_900_000_000_000))[1] == datetime.fromtimestamp(1_900_000_000, UTC)


def test_table() -> None:
    """A table that pamqp wrote is decoded, with nested tables."""
    fields: dict[str, Any] = {"a": "text", "b": 7, "c": {"d": [1, "x"]}, "e": True}
    encoded = encode.field_table(fields)

    assert table(encoded + b"tail") == (len(encoded), fields)


def test_table_beyond_its_frame() -> None:
    """A table that is longer than its frame raises an error that pamqp handles."""
    with pytest.raises(ValueError, match="longer than its frame"):
        table(struct.pack(">I", 100) + b"\x01a")


def _nested(depth: int, kind: bytes) -> bytes:
    value = b"t\1"
    for _ in range(depth):
        content = b"\x01k" + value if kind == b"F" else value
        value = kind + struct.pack(">I", len(content)) + content
    return value


def _encoded(*fields: bytes) -> bytes:
    content = b"".join(fields)
    return struct.pack(">I", len(content)) + content


@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_a_table_of_any_depth(kind: bytes) -> None:
    """Values are decoded down to a depth. What is nested deeper is None, and the fields after it are read."""
    used, fields = table(_encoded(b"\x01a" + _nested(20_000, kind), b"\x01b" + _nested(2, kind)))

    assert used == len(_encoded(b"\x01a" + _nested(20_000, kind), b"\x01b" + _nested(2, kind)))
    value, depth = fields["a"], 0
    while value:
        value, depth = (value["k"] if kind == b"F" else value[0]), depth + 1
    assert (value, depth) == (None, MAX_DEPTH)
    assert fields["b"] == ({"k": {"k": True}} if kind == b"F" else [[True]])


def test_a_table_of_any_number_of_fields() -> None:
    """A number of foreign fields is decoded, and all of ours, wherever they are."""
    foreign = [b"\x04%04dt\1" % number for number in range(9_000)]

    _, fields = table(_encoded(*foreign, b"\x0abridge-dueV", b"\x07x-countB\x07"))

    assert len(fields) == MAX_VALUES + 2
    assert (fields["bridge-due"], fields["x-count"]) == (None, 7)


@given(some.binary(max_size=80))
def test_a_table_of_any_bytes(octets: bytes) -> None:
    """No bytes make the decoder raise or read beyond the table."""
    used, fields = table(_encoded(octets) + b"tail")

    assert used == 4 + len(octets)
    assert isinstance(fields, dict)


FIELDS = some.binary(max_size=40) | some.builds(
    lambda name, kind, size, text: bytes([len(name)]) + name + kind + struct.pack(">I", size) + text,
    *(some.binary(max_size=9), some.sampled_from([b"S", b"x", b"t"]), some.integers(0, 4), some.binary(max_size=4)),
)


@given(FIELDS)
def test_a_table_of_one_field(field: bytes) -> None:
    """A field that is alone, as our header is, is read as it is read after another one, whatever its bytes are."""
    assert {"first": None} | table(_encoded(field) + b"tail")[1] == table(_encoded(b"\x05firstV", field) + b"tail")[1]


def test_a_table_keeps_what_comes_before_a_damaged_field() -> None:
    """A field of an unknown type, or one that is longer than the table, ends it."""
    good = b"\x01at\1"

    for damaged in (b"\x01b?", b"\x01bS\xff\xff\xff\xffx", b"\xff", b"\x01b", b"\x01bl\0"):
        assert table(_encoded(good, damaged)) == (len(_encoded(good, damaged)), {"a": True})
