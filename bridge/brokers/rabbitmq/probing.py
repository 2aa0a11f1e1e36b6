"""Questions to RabbitMQ over AMQP that change nothing: what is there, how it differs, and what this user may do to it.

RabbitMQ judges a user's permissions before it looks at what was asked. So what is asked here is what it refuses in any
case (an argument of the wrong type), and the refusal tells: 403 for a user who may not, another one for a user who may.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeVar, cast

from aio_pika import Connection
from aio_pika.abc import AbstractChannel, UnderlayConnection
from aiormq.connection import Connection as EngineConnection
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelClosed,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection import cancelled_by_us_alone, engine_of, is_blocked, open_channel
from bridge.brokers.rabbitmq.intake import ignore
from bridge.brokers.rabbitmq.topology import AmqpQueue, Exchange, declare_one, said

BLOCKED_WITHIN = 0.3
"""Seconds until RabbitMQ, had it an alarm, would have blocked a connection that publishes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Count:
    """What a queue says of itself: messages that are ready, and consumers."""

    ready: int
    consumers: int


class Refused(Exception):
    """This user may not."""


class Probe:
    """Asks over one connection, each question on a channel of its own: RabbitMQ closes it with the refusal. So many can
    be asked at a time. Raises what aiormq raises where the connection breaks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # Each number once: aiormq may use that of a channel which RabbitMQ has closed before it has said so.
        self._numbers = count(1)

    async def queue(self, name: str) -> Count | None:
        """Return what a queue says of itself; None where there is none."""

        async def ask(channel: AbstractChannel) -> Count:
            declared = await (await channel.get_queue(name, ensure=False)).declare()  # passively
            return Count(declared.message_count or 0, declared.consumer_count or 0)

        return await self._found(ask)

    async def has_exchange(self, name: str) -> bool:
        """Tell whether there is such an exchange."""
        return await self._found(lambda channel: channel.get_exchange(name, ensure=True)) is not None

    async def missing(self, expected: Sequence[Exchange | AmqpQueue]) -> list[Exchange | AmqpQueue]:
        """Return those of these that are not there."""
        there = await asyncio.gather(*map(self._is_there, expected))
        return [each for each, found in zip(expected, there, strict=True) if not found]

    async def difference(self, expected: Exchange | AmqpQueue) -> str | None:
        """Return how what is there differs, in RabbitMQ's words; None where it does not. It must be there, or it is
        made. Raise `Refused` where the user may not declare it."""
        try:
            await self._on_a_channel(lambda channel: declare_one(channel, expected))
        except ChannelPreconditionFailed as error:
            return said(error)
        except ChannelAccessRefused as error:
            raise Refused(said(error)) from error
        return None

    async def may_configure(self, queue: str) -> bool:
        """Tell whether this user may declare a queue of this name."""
        return await self._may(lambda channel: channel.declare_queue(queue, arguments={"x-message-ttl": "never"}))

    async def may_read(self, queue: str) -> bool:
        """Tell whether this user may consume from a queue of this name."""

        async def consume(channel: AbstractChannel) -> None:
            engine = await engine_of(channel)
            await engine.basic_consume(queue, ignore, arguments={"x-priority": "none"})

        return await self._may(consume)

    async def may_write(self, exchange: str) -> bool:
        """Tell whether this user may publish to an exchange of this name (empty: the default one)."""

        async def publish(channel: AbstractChannel) -> None:
            engine = await engine_of(channel)
            closing = engine.closing
            properties = Basic.Properties(expiration="never")
            await engine.basic_publish(b"", exchange=exchange, routing_key="", properties=properties)
            await closing

        return await self._may(publish)

    async def is_blocked(self) -> bool:
        """Tell whether RabbitMQ takes no publishes now, some time after the first attempt to publish. Where that is so,
        nothing more can be asked over this connection."""
        connection = cast(EngineConnection, cast(UnderlayConnection, self._connection.transport).connection)
        await asyncio.sleep(BLOCKED_WITHIN)  # aiormq calls nobody when it hears of it
        return is_blocked(connection)

    async def _is_there(self, expected: Exchange | AmqpQueue) -> bool:
        if isinstance(expected, AmqpQueue):
            return await self.queue(expected.name) is not None
        return await self.has_exchange(expected.name)

    async def _may(self, act: Callable[[AbstractChannel], Awaitable[object]]) -> bool:
        try:
            await self._on_a_channel(act)
        except ChannelAccessRefused:
            return False
        except ChannelClosed:
            return True  # refused for what was asked, and so not for who asks
        return True

    async def _found(self, act: Callable[[AbstractChannel], Awaitable[T]]) -> T | None:
        try:
            return await self._on_a_channel(act)
        except ChannelNotFoundEntity:
            return None

    async def _on_a_channel(self, act: Callable[[AbstractChannel], Awaitable[T]]) -> T:
        with cancelled_by_us_alone():
            channel = await open_channel(self._connection, confirms=False, number=next(self._numbers))
            try:
                return await act(channel)
            finally:
                await channel.close()
