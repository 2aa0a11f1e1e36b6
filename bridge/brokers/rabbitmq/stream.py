"""Reads a RabbitMQ stream over AMQP from an offset to an offset. Removes nothing, and leaves nothing behind."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
from aiormq.exceptions import AMQPConnectionError, ChannelNotFoundEntity

from bridge.brokers.rabbitmq.record import Record

PREFETCH = 1000
QUIET_SECONDS = 10.0
EMPTY_SECONDS = 0.3
"""An empty stream answers nothing. Its message count says so, some 5 s late: hence a moment of patience."""


class Stream:
    """A stream, read through one channel, one reading at a time."""

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel = channel
        self._name = name

    async def last(self) -> int | None:
        """Return the offset of the newest message; None where there is none, or no stream as nothing was declared."""
        try:
            patience = QUIET_SECONDS if await self._message_count() else EMPTY_SECONDS
        except ChannelNotFoundEntity:
            return None
        async with self._attached("last") as reading:
            try:
                newest = (await reading.next(patience)).number
            except TimeoutError:
                return None
            while True:
                await self._message_count()  # what there was to read came before this answer
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

    async def _message_count(self) -> int:
        return (await self._channel.queue_declare(self._name, passive=True)).message_count or 0

    @asynccontextmanager
    async def _attached(self, offset: int | str) -> AsyncIterator["_Reading"]:
        reading = _Reading(self._channel)
        await self._channel.basic_qos(prefetch_count=PREFETCH)
        consumed = await self._channel.basic_consume(self._name, reading.arrived, arguments={"x-stream-offset": offset})
        try:
            yield reading
        finally:
            if not self._channel.is_closed:
                await self._channel.basic_cancel(str(consumed.consumer_tag))
                await reading.settle()


class _Reading:
    """The messages of one consumer of the stream, and the acknowledgements that make room for more."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._arrived: deque[DeliveredMessage] = deque()
        self._news = asyncio.Event()
        self._unsettled = 0
        self._newest_tag = 0
        channel.closing.add_done_callback(lambda _: self._news.set())

    @property
    def waiting(self) -> bool:
        """Whether a message has arrived that was not taken yet."""
        return bool(self._arrived)

    async def arrived(self, message: DeliveredMessage) -> None:
        """Take a message from RabbitMQ."""
        self._newest_tag = message.delivery_tag or 0
        self._unsettled += 1
        self._arrived.append(message)
        self._news.set()

    async def next(self, patience: float) -> Record:
        """Return the next message; raise `TimeoutError` where none comes for so many seconds."""
        if self._unsettled >= PREFETCH // 2:
            await self.settle()
        while not self._arrived:
            if self._channel.is_closed:
                raise AMQPConnectionError("the connection broke while the ledger was read")
            self._news.clear()
            async with asyncio.timeout(patience):
                await self._news.wait()
        message = self._arrived.popleft()
        properties = message.header.properties
        offset = (properties.headers or {}).get("x-stream-offset")
        return Record(int(str(offset)), message.routing_key or "", properties, message.body)

    async def settle(self) -> None:
        """Acknowledge what has arrived."""
        if self._unsettled:
            self._unsettled = 0
            await self._channel.basic_ack(self._newest_tag, multiple=True, wait=False)
