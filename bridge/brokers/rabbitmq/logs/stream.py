"""Reads a RabbitMQ stream over AMQP, from one offset to another. Changes nothing on the broker."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as Engine
from aiormq.exceptions import ChannelNotFoundEntity
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection.client_internals import ignore_delivery, read_deliveries
from bridge.brokers.rabbitmq.connection.connecting import cause_of_close, engine_of, is_open
from bridge.brokers.rabbitmq.connection.delivery_stream import Deliver
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
    """A stream, read through one channel, which does nothing else but declare, one reading at a time.

    A reading has at most `prefetch` messages in memory. aiormq's own way to deliver a message takes most of the time of
    a long reading, so the deliveries are taken from the connection's reader.
    """

    def __init__(self, channel: AbstractChannel, name: str, prefetch: int = PREFETCH) -> None:
        self._channel = channel
        self._name = name
        self._prefetch = prefetch
        self._readings: dict[str, StreamReading] = {}
        self._number = 0

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
        async with self._attached(start, end) as reading:
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
        return await self._consume(offset)

    @asynccontextmanager
    async def _attached(self, offset: int | str, end: int | None = None) -> AsyncIterator["StreamReading"]:
        reading = await self._consume(offset, end)
        try:
            yield reading
        finally:
            if is_open(reading.engine):
                await reading.engine.basic_cancel(reading.tag)
                await reading.settle()
            del self._readings[reading.tag]

    async def _consume(self, offset: int | str, end: int | None = None) -> "StreamReading":
        engine = await engine_of(self._channel)
        if not self._number:
            read_deliveries(engine, self._arrived)
        self._number += 1
        tag = f"reading.{self._number}"
        reading = self._readings[tag] = StreamReading(engine, tag, self._prefetch, end)
        await engine.basic_qos(prefetch_count=self._prefetch)
        await engine.basic_consume(self._name, ignore_delivery, consumer_tag=tag, arguments={"x-stream-offset": offset})
        return reading

    def _arrived(self, deliver: Deliver, properties: Basic.Properties, body: bytes) -> None:
        reading = self._readings.get(str(deliver.consumer_tag))
        if reading is not None:  # else it has ended, and RabbitMQ had more on the way
            reading.arrived(deliver, properties, body)


class StreamReading:
    """The messages of one consumer of the stream, which is read to the offset `end` (None: without end). It
    acknowledges them so that RabbitMQ sends more, and no more than are needed."""

    def __init__(self, engine: Engine, tag: str, prefetch: int, end: int | None) -> None:
        self.engine = engine
        self.tag = tag
        self._prefetch = prefetch
        self._end = end
        self._arrived: deque[StreamMessage] = deque()
        self._news = asyncio.Event()
        self._unsettled = 0
        self._newest_tag = 0
        self._newest_offset = -1
        for closing in (engine.closing, engine.connection.closing):
            closing.add_done_callback(lambda _: self._news.set())

    @property
    def waiting(self) -> bool:
        """True if a message has arrived that `next` has not returned yet."""
        return bool(self._arrived)

    def arrived(self, deliver: Deliver, properties: Basic.Properties, body: bytes) -> None:
        """Add a message from RabbitMQ."""
        offset = int(str((properties.headers or {})["x-stream-offset"]))
        self._newest_tag, self._newest_offset = int(deliver.delivery_tag or 0), offset
        self._unsettled += 1
        self._arrived.append(StreamMessage(offset, str(deliver.routing_key or ""), properties, body))
        self._news.set()

    async def next(self, within: float | None) -> StreamMessage:
        """Return the next message. Raise `TimeoutError` if none comes within these seconds (None: wait without end),
        and the error that closed the channel once it is closed."""
        if self._needs_more():
            await self.settle()
        while not self._arrived:
            if not is_open(self.engine):
                raise cause_of_close(self.engine)
            self._news.clear()
            if within is None:
                await self.settle()  # else the consumer timeout would close the channel of a quiet stream
            async with asyncio.timeout(within):
                await self._news.wait()
        return self._arrived.popleft()

    async def settle(self) -> None:
        """Acknowledge all messages that have arrived."""
        if self._unsettled:
            self._unsettled = 0
            await self.engine.basic_ack(self._newest_tag, multiple=True, wait=False)

    def _needs_more(self) -> bool:
        """Return True if half of what RabbitMQ may send has arrived, and the rest does not reach the end."""
        if 2 * self._unsettled < self._prefetch:
            return False
        return self._end is None or self._newest_offset + self._prefetch - self._unsettled < self._end
