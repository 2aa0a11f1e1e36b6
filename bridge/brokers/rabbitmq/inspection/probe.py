"""Asks RabbitMQ over AMQP how an object differs, and what this user may do with it. Changes nothing.

RabbitMQ checks a user's permissions before it checks the request. So these requests have an argument of the wrong type,
which RabbitMQ always refuses: with 403 if the user has no permission, with another code if the user has it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aio_pika.abc import AbstractChannel
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelClosed,
    ChannelPreconditionFailed,
)
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection.client_internals import engine_connection, ignore_delivery, is_blocked
from bridge.brokers.rabbitmq.connection.connecting import engine_of
from bridge.brokers.rabbitmq.connection.errors import error_text
from bridge.brokers.rabbitmq.topology.declarations import AmqpExchange, AmqpQueue
from bridge.brokers.rabbitmq.topology.declaring import declare_one
from bridge.brokers.rabbitmq.topology.presence import Presence

BLOCKED_WITHIN = 0.3
"""Seconds after which RabbitMQ has blocked a connection that publishes, if it has an alarm."""


class Refused(Exception):
    """This user has no permission."""


class Probe(Presence):
    """Asks how objects differ, and what this user may do, on channels as `Presence` does."""

    async def difference(self, expected: AmqpExchange | AmqpQueue) -> str | None:
        """Return how an existing object differs, in RabbitMQ's words; None if it does not. The object must exist: else
        it is declared. Raise `Refused` if the user may not declare it."""
        try:
            await self.on_a_channel(lambda channel: declare_one(channel, expected))
        except ChannelPreconditionFailed as error:
            return error_text(error)
        except ChannelAccessRefused as error:
            raise Refused(error_text(error)) from error
        return None

    async def may_configure(self, queue: str) -> bool:
        """Return True if this user may declare a queue of this name."""
        return await self._may(lambda channel: channel.declare_queue(queue, arguments={"x-message-ttl": "never"}))

    async def may_read(self, queue: str) -> bool:
        """Return True if this user may consume from a queue of this name."""

        async def consume(channel: AbstractChannel) -> None:
            engine = await engine_of(channel)
            await engine.basic_consume(queue, ignore_delivery, arguments={"x-priority": "none"})

        return await self._may(consume)

    async def may_write(self, exchange: str) -> bool:
        """Return True if this user may publish to an exchange of this name (empty: the default exchange)."""

        async def publish(channel: AbstractChannel) -> None:
            engine = await engine_of(channel)
            closing = engine.closing
            properties = Basic.Properties(expiration="never")
            await engine.basic_publish(b"", exchange=exchange, routing_key="", properties=properties)
            await closing

        return await self._may(publish)

    async def is_blocked(self) -> bool:
        """Return True if RabbitMQ has blocked the connection. Ask only after a publish; if the result is True, the
        connection answers no further questions."""
        connection = engine_connection(self.connection)
        await asyncio.sleep(BLOCKED_WITHIN)  # aiormq has no callback for a blocked connection
        return is_blocked(connection)

    async def _may(self, act: Callable[[AbstractChannel], Awaitable[object]]) -> bool:
        try:
            await self.on_a_channel(act)
        except ChannelAccessRefused:
            return False
        except ChannelClosed:
            return True  # refused because of the wrong argument, so the user has the permission
        return True
