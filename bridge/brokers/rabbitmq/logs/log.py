"""A log on RabbitMQ: a stream, which is declared by the first append or follow."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

from aio_pika.abc import AbstractChannel

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import BROKEN, cancelled_by_us_alone, engine_of
from bridge.brokers.rabbitmq.connection.link import Link
from bridge.brokers.rabbitmq.connection.translation import as_bridge_errors
from bridge.brokers.rabbitmq.logs.indexed_stream import IndexedStream, in_pages
from bridge.brokers.rabbitmq.logs.pages import StreamPages
from bridge.brokers.rabbitmq.logs.stream import Stream, StreamMessage, StreamReading
from bridge.brokers.rabbitmq.publishing.publication import log_batch
from bridge.brokers.rabbitmq.publishing.stream_sender import StreamSender
from bridge.brokers.rabbitmq.topology.declaring import message_count
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.deadline import Deadline
from bridge.local_database.log_table import LogTable
from bridge.logs import BEFORE_ALL, MAX_BATCH, Batch

FOLLOW_PREFETCH = 200
_AGAIN_SECONDS = 0.1

Declare = Callable[[], Awaitable[None]]

log = logging.getLogger(__name__)


class RabbitBatchLog:
    """A log as a stream; see the contract. `declare` declares the stream. `indexed`: read through a local index, for a
    log without retention, which can become long."""

    def __init__(self, address: Address, names: Names, stream: str, declare: Declare, *, indexed: bool) -> None:
        self._address = address
        self._stream = stream
        self._question = names.question
        self._declare = declare
        self._sender = StreamSender(address, names, declare)
        identity = f"{address} {stream}"
        self._index = IndexedStream(address, stream, identity, _batch, LogTable) if indexed else None

    async def append(self, data: bytes, deadline: Deadline) -> None:
        """Append a batch, confirmed. A stream that does not exist yet is declared."""
        await self._sender.send(log_batch(data, self._stream), deadline)

    async def read(self, after: int) -> AsyncGenerator[Batch, None]:
        """Yield all present batches after this number, oldest first."""
        if self._index is not None:
            async with self._index.snapshot() as snapshot:
                for batch in in_pages(snapshot.index, after, snapshot.end):
                    yield batch
            return
        pages = StreamPages(self._address, self._stream)
        with as_bridge_errors(self._address):
            async with aclosing(pages), aclosing(pages.forwards(max(after + 1, 0))) as found:
                async for page in found:
                    for message in page:
                        yield _batch(message)

    async def read_back(self) -> AsyncGenerator[Batch, None]:
        """Yield all present batches, newest first."""
        pages = StreamPages(self._address, self._stream)
        with as_bridge_errors(self._address):
            async with aclosing(pages), aclosing(pages.backwards()) as found:
                async for page in found:
                    while page:
                        yield _batch(page.pop())

    @asynccontextmanager
    async def follow(self, after: int | None) -> AsyncIterator["_Following"]:
        """Iterate without end over the batches after this number, or over new ones."""
        following = _Following(self._address, self._stream, self._question, self._declare, after)
        try:
            await following.begin()
            yield following
        finally:
            await following.close()

    async def close(self) -> None:
        """Close the connection that appends."""
        await self._sender.close()


class _Following:
    """The batches of a stream after a number, without end. It reconnects after each break."""

    def __init__(self, address: Address, stream: str, question: str, declare: Declare, after: int | None) -> None:
        self._stream = stream
        self._after = after
        self._newest: StreamMessage | None = None
        self._link = Link(address, self._attach, declare, question, confirms=False)
        self._reading: StreamReading | None = None
        self._dropping: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Attach to the stream; wait while the broker is unreachable. Raise `BrokerRefused`."""
        await self._link.channel()

    def __aiter__(self) -> "_Following":
        return self

    async def __anext__(self) -> Batch:
        while True:
            await self._link.channel()
            try:
                with cancelled_by_us_alone():
                    message = await self._next()
            except BROKEN:
                await asyncio.sleep(_AGAIN_SECONDS)  # the link connects again
                continue
            if self._after is None or message.number > self._after:
                self._after, self._newest = message.number, message
                return _batch(message)

    async def close(self) -> None:
        """Close the connection."""
        await self._link.close()

    async def _next(self) -> StreamMessage:
        assert self._reading is not None, "a link that is up has attached"
        return await self._reading.next(None)

    async def _attach(self, channel: AbstractChannel) -> None:
        await message_count(channel, self._stream)  # if the stream does not exist, the link declares it
        stream = Stream(channel, self._stream, FOLLOW_PREFETCH)
        newest = await stream.last()
        end = BEFORE_ALL if newest is None else newest
        if self._after is None:
            self._after = end
        elif self._after > end or not await self._is_known(stream):
            log.warning("stream '%s' was deleted and replaced while it is followed; reading all of it", self._stream)
            self._after = BEFORE_ALL
        (await engine_of(channel)).on_consumer_cancel_callbacks.add(self._cancelled)
        self._reading = await stream.attach(max(self._after + 1, 0))

    async def _is_known(self, stream: Stream) -> bool:
        """Return False if the stream has another message at the offset of the newest one that was read."""
        known = self._newest
        if known is None:
            return True
        async with aclosing(stream.read(known.number, known.number)) as messages:
            async for message in messages:
                return message.properties.message_id == known.properties.message_id
        return True

    def _cancelled(self, _: object) -> None:
        """Reconnect after the stream was deleted or got another leader: the new connection attaches again."""
        self._dropping = asyncio.create_task(self._link.drop())


def _batch(message: StreamMessage) -> Batch:
    """Return the batch, without its data if that is too large: then another program wrote it."""
    return Batch(message.number, message.body if len(message.body) <= MAX_BATCH else b"")
