"""All code that depends on the internals of aio-pika, aiormq and pamqp. `test_client_internals.py` tests each part, and
fails if a new version of them changes it. Importing this file changes nothing: `connect` calls `adapt_client()`.
"""

import asyncio
import logging
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from ssl import SSLContext
from typing import Any, cast

from aio_pika import Connection
from aio_pika.abc import TimeoutType, UnderlayConnection
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel as Engine
from aiormq.connection import Connection as EngineConnection
from aiormq.connection import SSLContextProvider, TransportFactory
from aiormq.exceptions import AMQPConnectionError, ChannelInvalidStateError
from pamqp import commands, decode
from pamqp.base import Frame as Method
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from yarl import URL

from bridge.brokers.rabbitmq.connection.acknowledgements import encode_acknowledgement
from bridge.brokers.rabbitmq.connection.delivery_stream import HEARTBEAT, DeliveryStream, TakeDelivery
from bridge.brokers.rabbitmq.connection.field_tables import short_string, table, time

USUAL_FRAME_MAX = 131_072
"""RabbitMQ's default. It is also assumed for a server without a limit."""
_REFUSAL = "Connection.Close"

SENT_TOGETHER = 500
"""Methods that are sent before their answers are read: all answers must fit in the buffers of the socket."""

UNSENT_AT_MOST = 64 * 1024
"""Bytes of acknowledgements that may wait for the socket."""

log = logging.getLogger(__name__)

ALIVE_EVERY = 1.0
"""Seconds after which aiormq gets a heartbeat while all frames that arrive are deliveries. It closes a connection that
brings no frame for some time, and RabbitMQ sends no heartbeat on a connection that is busy."""


FRAMES_AT_ONCE = 24
"""Frames that are taken in one turn of the event loop: eight deliveries, if the body of each is one frame."""


def adapt_client() -> None:
    """Adapt the client libraries of this process; a second call does nothing.

    Afterwards pamqp reads all headers and properties that RabbitMQ lets through: text that is not UTF-8, times beyond
    the calendar, tables nested thousands deep. Unadapted, it raises for these, and aiormq drops the connection: one
    foreign message would stop every consumer and every reader of the ledger that receives it. aiormq reports why
    RabbitMQ refuses to open a virtual host. Both libraries log nothing to stderr in a process that has not configured
    logging.
    """
    decode.METHODS.update(shortstr=short_string, timestamp=time, table=table)
    decode.TABLE_MAPPING.update({b"T": time, b"F": table})
    ContentHeader.unmarshal = read_header  # type: ignore[assignment,method-assign]
    if _REFUSAL not in commands.Connection.Open.valid_responses:  # else aiormq raises, and loses the frame's text
        commands.Connection.Open.valid_responses.append(_REFUSAL)
    for name in ("aiormq", "aio_pika"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


def read_header(header: ContentHeader, data: bytes) -> None:
    """Decode the header of a message, as far as it can be decoded: it is the work of any program. An exception here
    would end the connection, each time the message is delivered again."""
    header.class_id, header.weight, header.body_size = struct.unpack(">HHQ", data[:12])
    try:
        used, flags = header._get_flags(data[12:])
        header.properties.unmarshal(flags, data[12 + used :])
    except Exception as error:
        log.warning("a message has properties that cannot be read: %s: %s", type(error).__name__, error)


class DeliveringReader(asyncio.StreamReader):
    """The stream that aiormq reads, without the deliveries that `DeliveryStream` takes.

    aiormq reads each frame in four steps, puts it into a queue, reads it there in another task, and starts a third task
    for each message, which takes half of a worker's time for an event.

    Of many deliveries that arrive together, some are read in each turn of the loop, so that the worker's children need
    not wait for their requests until all are read.
    """

    def __init__(self, deliveries: DeliveryStream, clock: Callable[[], float]) -> None:
        super().__init__()
        self._deliveries = deliveries
        self._clock = clock
        self._fed = clock()
        self._abort: Callable[[], None] = lambda: None

    def feed_data(self, data: Any) -> None:
        if self._deliveries.behind:
            self._deliveries.feed(data, at_most=0)
        else:
            self._read(data)

    def feed_eof(self) -> None:
        self._read_the_rest()
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        self._read_the_rest()
        super().set_exception(exc)

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        super().set_transport(transport)
        self._abort = cast(asyncio.Transport, transport).abort

    def _read_the_rest(self) -> None:
        """Read all that has arrived before the connection ended. An error here must not keep it from ending."""
        if self._deliveries.behind:
            try:
                self._pass_on(self._deliveries.feed(b""))
            except Exception:  # of any callback: raised here, it would reach the transport, which has ended
                log.exception("internal error while reading the last frames of a connection")

    def _read(self, data: bytes) -> None:
        """Read some of the frames, and the others in the next turns."""
        self._pass_on(self._deliveries.feed(data, FRAMES_AT_ONCE))
        if self._deliveries.behind:
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._deliveries.behind:  # else the stream has ended, and all is read
            try:
                self._read(b"")
            except Exception:  # of any callback
                self._abort()  # as the loop does after an error of `feed_data`: the frames are lost
                raise

    def _pass_on(self, left: bytes) -> None:
        """Let aiormq read the frames that are left."""
        now = self._clock()
        if left:
            super().feed_data(left)
        elif now - self._fed >= ALIVE_EVERY:
            super().feed_data(HEARTBEAT)
        else:
            return
        self._fed = now


class Transports(TransportFactory):
    """Opens the socket of an aiormq connection, as aiormq does, with a `DeliveringReader`."""

    def __init__(self, deliveries: DeliveryStream) -> None:
        self._deliveries = deliveries
        self.writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        contexts: SSLContextProvider = kwargs.pop("ssl_context_provider")
        context = await contexts.get_context() if url.scheme == "amqps" else None
        loop = asyncio.get_running_loop()
        reader = DeliveringReader(self._deliveries, loop.time)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.create_connection(
                lambda: protocol, host=url.host or "", port=url.port or 0, ssl=context, **kwargs
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        self.writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return reader, self.writer


class DeliveringConnection(EngineConnection):
    """An aiormq connection whose deliveries can be read before aiormq reads them."""

    def __init__(self, url: URL, **kwargs: Any) -> None:
        self.deliveries = DeliveryStream()
        self.transports = Transports(self.deliveries)
        super().__init__(url, transport_factory=self.transports, **kwargs)


class _Underlay(UnderlayConnection):
    @classmethod
    async def make_connection(
        cls, url: URL, timeout: TimeoutType = None, *, vhost: str = "/", **kwargs: Any
    ) -> EngineConnection:
        connection = DeliveringConnection(url, **kwargs)
        connection.vhost = vhost
        await asyncio.wait_for(connection.connect(), timeout)
        await connection.ready()
        return connection


class ToVirtualHost(Connection):
    """A connection to the virtual host of this name. aiormq takes the name from the path of the URL, which cannot hold
    every name: yarl removes `.` and `..`, and aiormq reads `%2F` as `/`."""

    def __init__(self, url: URL, vhost: str, context: SSLContext | None) -> None:
        super().__init__(url, ssl_context=context)
        self._vhost = vhost

    async def connect(self, timeout: TimeoutType = None) -> None:
        self.transport = await _Underlay.connect(
            self.url, self._on_connection_close, timeout=timeout, vhost=self._vhost, **self.kwargs
        )
        await self._on_connected()


def engine_connection(connection: Connection) -> EngineConnection:
    """Return the aiormq connection inside an aio-pika connection that is open."""
    return cast(EngineConnection, cast(UnderlayConnection, connection.transport).connection)


def detach_engine(connection: Connection) -> EngineConnection | None:
    """Remove the aiormq connection from an aio-pika connection and return it; None if there is none. Closing the
    aio-pika connection then waits for nothing."""
    if connection.transport is None:
        return None
    engine = engine_connection(connection)
    connection.transport = None
    return engine


def is_blocked(connection: EngineConnection) -> bool:
    """Return True if RabbitMQ has blocked the connection, so that it takes no publishes now. aiormq has no callback for
    that, but its `ready()` waits then: running one step of it is the test."""
    probe = connection.ready()
    try:
        probe.send(None)
    except StopIteration:
        return False
    probe.close()
    return True


def frame_max(channel: Engine) -> int:
    """Return the largest frame in bytes that RabbitMQ takes on the channel's connection. A message's header is one
    frame; RabbitMQ closes the connection if it is larger."""
    return channel.connection.connection_tune.frame_max or USUAL_FRAME_MAX


def write_frames(channel: Engine, frames: Iterable[Basic.Ack | Basic.Nack]) -> None:
    """Give acknowledgements to the socket in one piece, without waiting for it. They do not pass through the queue and
    the task of aiormq's writer, and may overtake what waits there."""
    payload = b"".join([encode_acknowledgement(channel.number, frame) for frame in frames])
    with suppress(RuntimeError):  # uvloop's, of a socket that has just ended: the deliveries return to their queue
        _writer(channel).write(payload)


def socket_has_room(channel: Engine) -> bool:
    """Return True if the socket takes frames now."""
    return _writer(channel).transport.get_write_buffer_size() <= UNSENT_AT_MOST


def _writer(channel: Engine) -> asyncio.StreamWriter:
    writer = cast(DeliveringConnection, channel.connection).transports.writer
    assert writer is not None  # a channel has an open connection
    return writer


async def call_together(channel: Engine, methods: Sequence[Method]) -> list[Any]:
    """Send synchronous methods without waiting for the answer to one before the next is sent, and return the answers in
    order. aiormq waits for each, which takes a round trip for each.

    Raise aiormq's error if RabbitMQ refuses a method; it has ignored the methods after that one. The channel may not be
    used again after an error or a cancellation.
    """
    if channel.is_closed:
        raise ChannelInvalidStateError("the channel is closed")

    async def call() -> list[Any]:
        answers: list[Any] = []
        async with channel.lock:
            for start in range(0, len(methods), SENT_TOGETHER):
                sent = methods[start : start + SENT_TOGETHER]
                await channel.write_queue.put(ChannelFrame.marshall(channel.number, sent))
                answers += [await channel.rpc_frames.get() for _ in sent]
        return answers

    answered: list[Any] = await channel.create_task(call())
    return answered


def read_deliveries(channel: Engine, deliver: TakeDelivery) -> None:
    """Call `deliver` for each delivery of the channel, as soon as its bytes are read. Other frames of the
    channel reach aiormq."""
    cast(DeliveringConnection, channel.connection).deliveries.take(channel.number, deliver)


async def ignore_delivery(message: object) -> None:
    """Do nothing: the callback for `basic_consume` on a channel whose deliveries never reach aiormq."""
