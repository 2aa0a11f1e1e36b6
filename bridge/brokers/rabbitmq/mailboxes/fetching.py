"""Fetches single messages, each over a channel of its own: RabbitMQ closes a channel on which it refuses something, and
what the channel holds returns to its queue.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import cast

from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel as Engine
from aiormq.connection import Connection as EngineConnection
from aiormq.exceptions import AMQPConnectionError
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection.connecting import BROKEN, cancelled_by_us_alone, is_open
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.errors import DeliveryLost
from bridge.handling import Priority
from bridge.mailbox import MOST_URGENT_FIRST

Arrived = tuple[Priority, DeliveredMessage]

SETTLE_SECONDS = 10.0
"""Seconds that RabbitMQ may take to answer a settlement."""


@dataclass(frozen=True, slots=True)
class RabbitMessage:
    """A message that this process holds; see the contract."""

    channel: "FetchingChannel"
    tag: int
    body: bytes
    priority: Priority
    redelivered: bool

    async def ack(self) -> None:
        try:
            with cancelled_by_us_alone():
                async with asyncio.timeout(SETTLE_SECONDS):
                    await self.channel.engine.basic_ack(self.tag)
                    await self.channel.free()
        except BROKEN as error:
            message = "the message may come again: the connection to RabbitMQ broke before it was acknowledged"
            raise DeliveryLost(message) from error

    async def give_back(self) -> None:
        with suppress(*BROKEN), cancelled_by_us_alone():
            async with asyncio.timeout(SETTLE_SECONDS):
                await self.channel.engine.basic_nack(self.tag, requeue=True)
                await self.channel.free()


class FetchingChannel:
    """A channel that holds at most one message. `idle` has the channels that can be used again."""

    def __init__(self, engine: Engine, idle: "list[FetchingChannel]") -> None:
        self.engine = engine
        self._idle = idle

    async def fetch(self, names: Names, mailbox: str, until: float) -> RabbitMessage | None:
        """Return the most urgent message; wait for one until this reading of the steady clock. Raise one of
        `BROKEN`."""
        queues = {lane: names.mailbox(mailbox, lane) for lane in MOST_URGENT_FIRST}
        for lane, queue in queues.items():
            got = await self.engine.basic_get(queue)
            if isinstance(got.delivery, Basic.GetOk):
                return self._held((lane, got))
        if until <= time.monotonic():
            await self.free()
            return None
        arrived = await self._arriving(queues, until)
        for _, message in arrived[1:]:
            await self.engine.basic_nack(_tag(message), requeue=True)
        if not arrived:
            await self.free()
            return None
        return self._held(arrived[0])

    async def free(self) -> None:
        """Wait until RabbitMQ has processed what was sent over this channel, which can then be used again."""
        await self.engine.basic_qos(prefetch_count=1)
        self._idle.append(self)

    async def _arriving(self, queues: dict[Priority, str], until: float) -> list[Arrived]:
        """Consume until a message arrives; return what has arrived, the most urgent one first."""
        arrived: list[Arrived] = []
        woken = asyncio.Event()
        loss: list[BaseException] = []

        def lost(_: object) -> None:
            loss.append(AMQPConnectionError("the mailbox was deleted, or the connection broke"))
            woken.set()

        closing = self.engine.closing
        closing.add_done_callback(lost)
        self.engine.on_consumer_cancel_callbacks.add(lost)
        try:
            await self.engine.basic_qos(prefetch_count=1)
            tags = []
            for lane, queue in queues.items():

                async def take(message: DeliveredMessage, lane: Priority = lane) -> None:
                    arrived.append((lane, message))
                    woken.set()

                tags.append((await self.engine.basic_consume(queue, take)).consumer_tag)
            with suppress(TimeoutError):
                async with asyncio.timeout(until - time.monotonic()):
                    await woken.wait()
            if loss:
                raise loss[0]
            self.engine.on_consumer_cancel_callbacks.discard(lost)  # our own cancels are no loss
            for tag in tags:
                await self.engine.basic_cancel(cast(str, tag))
        finally:
            self.engine.on_consumer_cancel_callbacks.discard(lost)
            closing.remove_done_callback(lost)
            closing.cancel()
        return sorted(arrived, key=lambda each: MOST_URGENT_FIRST.index(each[0]))

    def _held(self, arrived: Arrived) -> RabbitMessage:
        lane, message = arrived
        return RabbitMessage(self, _tag(message), bytes(message.body), lane, bool(message.redelivered))


class FetchingChannels:
    """The channels of a connection that fetch. A channel is lent, and is idle again when its message is settled."""

    def __init__(self) -> None:
        self._idle: list[FetchingChannel] = []
        self._last = 0

    @asynccontextmanager
    async def lent(self, link: Engine) -> AsyncIterator[FetchingChannel]:
        """Lend a channel of the connection of `link`. If the block fails or is cancelled, close the channel: what it
        holds returns to its queue."""
        connection = cast(EngineConnection, link.connection)
        with cancelled_by_us_alone():
            channel = self._idle_of(connection) or await self._opened(connection)
        try:
            with cancelled_by_us_alone():
                yield channel
        except BaseException:
            await _closed(channel.engine)
            raise

    def _idle_of(self, connection: EngineConnection) -> FetchingChannel | None:
        while self._idle:
            channel = self._idle.pop()
            if is_open(channel.engine) and channel.engine.connection is connection:
                return channel
        return None

    async def _opened(self, connection: EngineConnection) -> FetchingChannel:
        opened = await connection.channel(self._free_number(connection), publisher_confirms=False)
        return FetchingChannel(cast(Engine, opened), self._idle)

    def _free_number(self, connection: EngineConnection) -> int:
        """Return the number that was used the longest time ago. aiormq reuses the number of a closed channel at once,
        and RabbitMQ ignores a channel whose number it still believes to be closing."""
        highest = connection.connection_tune.channel_max or 65535
        for _ in range(highest):
            self._last = self._last % highest + 1
            if self._last not in connection.channels:
                return self._last
        raise AMQPConnectionError(f"all {highest} channels of the connection are in use (channel_max)")


async def _closed(engine: Engine) -> None:
    if is_open(engine):
        with suppress(*BROKEN), cancelled_by_us_alone():
            await engine.close(AMQPConnectionError("a fetch was given up"), timeout=SETTLE_SECONDS)


def _tag(message: DeliveredMessage) -> int:
    return cast(int, message.delivery_tag)
