"""Reads a RabbitMQ stream over AMQP, from one offset to another. Changes nothing on the broker."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aiormq.exceptions import AMQPConnectionError, ChannelNotFoundEntity
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.topology.declaring import message_count

PREFETCH = 1000
QUIET_SECONDS = 10.0
EMPTY_SECONDS = 0.3
"""Seconds to wait for a message of a stream whose message count is 0: the count is updated some 5 s late, and an empty
stream sends nothing."""


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message of a stream. `number` is its offset, which is the same for every reader."""

    number: int
    routing_key: str
    properties: Basic.Properties
    body: bytes

    @property
    def headers(self) -> dict[str, Any]:
        """The message's headers; empty if it has none."""
        return self.properties.headers or {}


class Stream:
    """A stream, read through one channel, one reading at a time."""

    def __init__(self, channel: AbstractChannel, name: str, prefetch: int = PREFETCH) -> None:
        self._channel = channel
        self._name = name
        self._prefetch = prefetch

    async def last(self) -> int | None:
        """Return the offset of the newest message; None if the stream is empty or was not declared yet."""
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
                await message_count(self._channel, self._name)  # all messages arrive before this answer
                if not reading.waiting:
                    return newest
                while reading.waiting:
                    newest = (await reading.next(QUIET_SECONDS)).number

    async def read(self, start: int, end: int) -> AsyncGenerator[StreamMessage, None]:
        """Yield the messages from the offset `start`, or the oldest one after it, to `end`, which must exist."""
        async with self._attached(start) as reading:
            while True:
                record = await reading.next(QUIET_SECONDS)
                if start <= record.number <= end:
                    yield record
                if record.number >= end:
                    return

    async def oldest(self, end: int) -> int:
        """Return the offset of the oldest message. The stream must have a message at `end`."""
        async with self._attached("first") as reading:
            return min((await reading.next(QUIET_SECONDS)).number, end)

    async def attach(self, offset: int | str) -> "StreamReading":
        """Read from an offset on, until the channel is closed. RabbitMQ may also deliver some earlier messages."""
        reading, _, _ = await self._consume(offset)
        return reading

    @asynccontextmanager
    async def _attached(self, offset: int | str) -> AsyncIterator["StreamReading"]:
        reading, queue, tag = await self._consume(offset)
        try:
            yield reading
        finally:
            if not self._channel.is_closed:
                await queue.cancel(tag)
                await reading.settle()

    async def _consume(self, offset: int | str) -> tuple["StreamReading", AbstractQueue, str]:
        await self._channel.set_qos(prefetch_count=self._prefetch)
        reading = StreamReading(self._channel, settled_every=max(self._prefetch // 2, 1))
        queue = await self._channel.get_queue(self._name, ensure=False)
        return reading, queue, await queue.consume(reading.arrived, arguments={"x-stream-offset": offset})


class StreamReading:
    """The messages of one consumer of the stream. It acknowledges them, so that RabbitMQ sends more."""

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
        """True if a message has arrived that `next` has not returned yet."""
        return bool(self._arrived)

    async def arrived(self, message: AbstractIncomingMessage) -> None:
        """Add a message from RabbitMQ."""
        self._newest = message
        self._unsettled += 1
        self._arrived.append(message)
        self._news.set()

    async def next(self, within: float | None) -> StreamMessage:
        """Return the next message. Raise `TimeoutError` if none comes within these seconds (None: wait without end),
        `AMQPConnectionError` once the channel is closed."""
        if self._unsettled >= self._settled_every:
            await self.settle()
        while not self._arrived:
            if self._channel.is_closed:
                raise AMQPConnectionError("the connection broke while a stream was read")
            self._news.clear()
            if within is None:
                await self.settle()  # else the consumer timeout would close the channel of a quiet stream
            async with asyncio.timeout(within):
                await self._news.wait()
        message = self._arrived.popleft()
        offset = int(str(message.headers["x-stream-offset"]))
        return StreamMessage(offset, message.routing_key or "", message.properties, message.body)

    async def settle(self) -> None:
        """Acknowledge all messages that have arrived."""
        if self._newest is not None:
            newest, self._newest, self._unsettled = self._newest, None, 0
            await newest.ack(multiple=True)
