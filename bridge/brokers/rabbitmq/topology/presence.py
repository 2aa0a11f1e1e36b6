"""Asks RabbitMQ which objects exist. Changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from aio_pika import Connection
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity
from pamqp.commands import Exchange
from pamqp.commands import Queue as QueueMethod

from bridge.brokers.rabbitmq.connection.client_internals import call_together
from bridge.brokers.rabbitmq.connection.connecting import cancelled_by_us_alone, engine_of, open_channel
from bridge.brokers.rabbitmq.topology.declarations import AmqpExchange, AmqpQueue

T = TypeVar("T")

AT_A_TIME = 100
"""Channels that are open at a time. RabbitMQ closes a connection with more than its `channel_max`, 2047 by default."""


@dataclass(frozen=True, slots=True)
class QueueCount:
    """The numbers of ready messages and of consumers that a queue reports."""

    ready: int
    consumers: int


def of_lanes(counts: Sequence[QueueCount]) -> QueueCount:
    """Return the counts of a queue by those of its lanes: a queue has as many consumers as the lane with the fewest."""
    return QueueCount(sum(each.ready for each in counts), min(each.consumers for each in counts))


class Presence:
    """Asks over one connection, with a channel for each question, because RabbitMQ closes the channel if it refuses.
    Many questions can be asked at the same time. Raises aiormq's errors if the connection breaks."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # Each number only once: aiormq may reuse the number of a channel before RabbitMQ has reported its close.
        self._numbers = count(1)
        self._room = asyncio.Semaphore(AT_A_TIME)

    async def queue(self, name: str) -> QueueCount | None:
        """Return the counts of a queue; None if no queue has this name."""

        async def ask(channel: AbstractChannel) -> QueueCount:
            declared = await (await channel.get_queue(name, ensure=False)).declare()  # passive: makes no queue
            return QueueCount(declared.message_count or 0, declared.consumer_count or 0)

        return await self._found(ask)

    async def has_exchange(self, name: str) -> bool:
        """Return True if an exchange has this name."""
        return await self._found(lambda channel: channel.get_exchange(name, ensure=True)) is not None

    async def missing(self, expected: Sequence[AmqpExchange | AmqpQueue]) -> list[AmqpExchange | AmqpQueue]:
        """Return the objects that do not exist. RabbitMQ 4.2.6 and later tells nothing of an object to which this user
        has no right at all: such an object counts as existing."""
        with suppress(ChannelAccessRefused):
            if await self._found(lambda channel: _ask_together(channel, expected)) is not None:
                return []
        there = await asyncio.gather(*map(self._is_there, expected))
        return [each for each, found in zip(expected, there, strict=True) if not found]

    async def on_a_channel(self, act: Callable[[AbstractChannel], Awaitable[T]]) -> T:
        """Do this on a new channel. Raise aiormq's errors."""
        with cancelled_by_us_alone():
            async with self._room:
                return await self._on_a_channel(act)

    async def _on_a_channel(self, act: Callable[[AbstractChannel], Awaitable[T]]) -> T:
        channel = await open_channel(self.connection, confirms=False, number=next(self._numbers))
        try:
            return await act(channel)
        finally:
            await channel.close()

    async def _is_there(self, expected: AmqpExchange | AmqpQueue) -> bool:
        try:
            if isinstance(expected, AmqpQueue):
                return await self.queue(expected.name) is not None
            return await self.has_exchange(expected.name)
        except ChannelAccessRefused:
            return True

    async def _found(self, act: Callable[[AbstractChannel], Awaitable[T]]) -> T | None:
        try:
            return await self.on_a_channel(act)
        except ChannelNotFoundEntity:
            return None


async def _ask_together(channel: AbstractChannel, expected: Sequence[AmqpExchange | AmqpQueue]) -> bool:
    """Return True if all objects exist. Raise `ChannelNotFoundEntity` if one does not."""
    questions = [
        QueueMethod.Declare(queue=each.name, passive=True)
        if isinstance(each, AmqpQueue)
        else Exchange.Declare(exchange=each.name, passive=True)
        for each in expected
    ]
    await call_together(await engine_of(channel), questions)
    return True
