"""Declares and removes objects on RabbitMQ. Many declarations are sent together: a site with 300 queues has more than a
thousand, and each alone takes a round trip.
"""

import asyncio
import re
from collections.abc import Sequence

from aio_pika import Connection
from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as Engine
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed
from pamqp.base import Frame as Method
from pamqp.commands import Exchange
from pamqp.commands import Queue as QueueMethod

from bridge.brokers.rabbitmq.connection.client_internals import call_together
from bridge.brokers.rabbitmq.connection.connecting import engine_of, open_channel
from bridge.brokers.rabbitmq.connection.errors import error_text
from bridge.brokers.rabbitmq.topology import declarations as topology
from bridge.brokers.rabbitmq.topology.declarations import AmqpExchange, AmqpQueue, Binding, Declaration
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.errors import BrokerRefused
from bridge.queues import Queue

CHANNELS = 8
"""Channels that declare queues at the same time: RabbitMQ makes one new queue after the other on each."""

_OBJECT = re.compile(r"(?:exchange|queue) '[^']+'")


async def declare(connection: Connection, names: Names, queues: Sequence[Queue]) -> None:
    """Declare everything. Raise `BrokerRefused` if an object exists with other properties, or if the user has no
    permission."""
    everything = list(topology.declarations(names, queues))
    to_declare = [each for each in everything if isinstance(each, AmqpQueue)]
    channels = await asyncio.gather(*(_engine(connection) for _ in range(CHANNELS)))
    try:
        await _declare_on(channels[0], [each for each in everything if isinstance(each, AmqpExchange)])
        await asyncio.gather(
            *(_declare_on(channel, to_declare[number::CHANNELS]) for number, channel in enumerate(channels))
        )
        await _declare_on(channels[0], [each for each in everything if isinstance(each, Binding)])
    except (ChannelPreconditionFailed, ChannelAccessRefused) as error:
        text = error_text(error)
        refused = _OBJECT.search(text)
        raise BrokerRefused(f"RabbitMQ refuses {refused[0] if refused else 'a declaration'}: {text}") from error


async def declare_one(channel: AbstractChannel, declaration: Declaration) -> None:
    """Declare one object. Raise aiormq's errors; the channel is closed then."""
    await _declare_on(await engine_of(channel), [declaration])


async def remove(channel: AbstractChannel, objects: Sequence[AmqpQueue | AmqpExchange]) -> None:
    """Delete these objects with their messages, one after the other: RabbitMQ 3.10 closes a connection that deletes
    objects which are bound to each other at the same time."""
    for each in objects:
        if isinstance(each, AmqpQueue):
            await channel.queue_delete(each.name)
        else:
            await channel.exchange_delete(each.name)


def method(declaration: Declaration) -> Method:
    """Return the AMQP method that declares an object."""
    match declaration:
        case AmqpExchange(name=name, type=kind, arguments=arguments):
            return Exchange.Declare(exchange=name, exchange_type=kind, durable=True, arguments=arguments)
        case AmqpQueue(name=name, arguments=arguments):
            return QueueMethod.Declare(queue=name, durable=True, arguments=arguments)
        case Binding(source=source, target=target, pattern=pattern, to_exchange=True):
            return Exchange.Bind(destination=target, source=source, routing_key=pattern)
        case Binding(source=source, target=target, pattern=pattern):
            return QueueMethod.Bind(queue=target, exchange=source, routing_key=pattern)


async def message_count(channel: AbstractChannel, queue: str) -> int:
    """Return the number of ready messages in a queue. Raise `ChannelNotFoundEntity` if the queue does not exist; the
    channel is closed then."""
    declared = await (await channel.get_queue(queue, ensure=False)).declare()  # passive: makes no queue
    return declared.message_count or 0


async def message_counts(channel: AbstractChannel, queues: Sequence[str]) -> list[int]:
    """Return the number of ready messages in each queue, asked together. Raise what `message_count` raises. If this is
    cancelled, the channel may not be used again."""
    passive = [QueueMethod.Declare(queue=queue, passive=True) for queue in queues]  # makes no queue
    return [answer.message_count or 0 for answer in await call_together(await engine_of(channel), passive)]


async def _engine(connection: Connection) -> Engine:
    return await engine_of(await open_channel(connection, confirms=False))


async def _declare_on(channel: Engine, declarations: Sequence[Declaration]) -> None:
    await call_together(channel, list(map(method, declarations)))
