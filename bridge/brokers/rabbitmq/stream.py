"""Reads a RabbitMQ stream over AMQP from an offset to an offset. Removes nothing, and leaves nothing behind."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq.exceptions import AMQPConnectionError, ChannelNotFoundEntity

from bridge.brokers.rabbitmq.record import Record
from bridge.brokers.rabbitmq.topology import message_count

PREFETCH = 1000
QUIET_SECONDS = 10.0
EMPTY_SECONDS = 0.3
"""An empty stream answers nothing. Its message count says so, some 5 s late: hence a moment of patience."""


class Stream:
    """A stream, read through one channel, one reading at a time."""

    def __init__(self, channel: AbstractChannel, name: str, prefetch: int = PREFETCH) -> None:
        self._channel = channel
        self._name = name
        self._prefetch = prefetch

    async def last(self) -> int | None:
        """Return the offset of the newest message; None where there is none, or no stream as nothing was declared."""
        try:
            patience = QUIET_SECONDS if await message_count(self._channel, self._name) else EMPTY_SECONDS
        except ChannelNotFoundEntity:
            return None
        async with self._attached("last") as reading:
            try:
                newest = (await reading.next(patience)).number
            except TimeoutError:
                return None
            while True:
                await message_count(self._channel, self._name)  # what there was to read came before this answer
                if not reading.waiting:
                    return newest
                while reading.waiting:
                    newest = (await reading.next(QUIET_SECONDS)).number

    async def read(self, start: int, end: int) -> AsyncGenerator[Record, None]:
        """Yield the messages from the offset `start`, or what is the oldest then, to `end`, which must exist."""
        async with self._attached(start) as reading:
            while True:
                record = await reading.next(QUIET_SECONDS)
                if start <= record.number <= end:
                    yield record
                if record.number >= end:
                    return

    async def oldest(self, end: int) -> int:
        """Return the offset of the oldest message, of a stream that has one at `end`."""
        async with self._attached("first") as reading:
            return min((await reading.next(QUIET_SECONDS)).number, end)

    @asynccontextmanager
    async def _attached(self, offset: int | str) -> AsyncIterator["_Reading"]:
        await self._channel.set_qos(prefetch_count=self._prefetch)
        reading = _Reading(self._channel, settled_every=max(self._prefetch // 2, 1))
        queue = await self._channel.get_queue(self._name, ensure=False)
        tag = await queue.consume(reading.arrived, arguments={"x-stream-offset": offset})
        try:
            yield reading
        finally:
            if not self._channel.is_closed:
                await queue.cancel(tag)
                await reading.settle()


class _Reading:
    """The messages of one consumer of the stream, and the acknowledgements that make room for more."""

    def __init__(self, channel: AbstractChannel, settled_every: int) -> None:
        self._channel = channel
        self._settled_every = settled_every
        self._arrived: deque[AbstractIncomingMessage] = deque()
        self._news = asyncio.Event()
        self._unsettled = 0
        self._newest: AbstractIncomingMessage | None = None
        channel.close_callbacks.add(lambda *_: self._news.set())

    @property
    def waiting(self) -> bool:
        """Whether a message has arrived that was not taken yet."""
        return bool(self._arrived)

    async def arrived(self, message: AbstractIncomingMessage) -> None:
        """Take a message from RabbitMQ."""
        self._newest = message
        self._unsettled += 1
        self._arrived.append(message)
        self._news.set()

    async def next(self, patience: float) -> Record:
        """Return the next message; raise `TimeoutError` where none comes for so many seconds."""
        if self._unsettled >= self._settled_every:
            await self.settle()
        while not self._arrived:
            if self._channel.is_closed:
                raise AMQPConnectionError("the connection broke while the ledger was read")
            self._news.clear()
            async with asyncio.timeout(patience):
                await self._news.wait()
        message = self._arrived.popleft()
        offset = int(str(message.headers["x-stream-offset"]))
        return Record(offset, message.routing_key or "", message.properties, message.body)

    async def settle(self) -> None:
        """Acknowledge what has arrived."""
        if self._newest is not None:
            newest, self._newest, self._unsettled = self._newest, None, 0
            await newest.ack(multiple=True)
