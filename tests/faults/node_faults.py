"""Faults of a RabbitMQ node: killed, frozen, out of memory, and mistakes of its operator."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractChannel

from bridge.brokers.rabbitmq.connection.address import address
from bridge.brokers.rabbitmq.connection.connecting import connect
from bridge.brokers.rabbitmq.topology.declarations import Binding, declarations
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.queues import Queue
from tests.faults.ordeal import Fault
from tests.faults.stage import Stage

FULL = 3
"""The length limit of a full queue, in messages."""

NO_LIMIT = 1_000_000_000
"""A length limit that no queue reaches, in messages."""


async def kill(stage: Stage) -> None:
    """Kill the node, and start it again on its data."""
    stage.cut_off_all("SIGKILL of RabbitMQ")
    await asyncio.to_thread(stage.node.kill)
    await asyncio.to_thread(stage.node.start)


async def freeze(stage: Stage) -> None:
    """Stop the node by SIGSTOP for `hold` seconds. When it resumes, it too has missed its clients' heartbeats."""
    async with frozen(stage):
        await asyncio.sleep(stage.hold)


@asynccontextmanager
async def frozen(stage: Stage) -> AsyncIterator[None]:
    """Stop the node by SIGSTOP for the duration of the `with` block."""
    stage.cut_off_all("SIGSTOP of RabbitMQ")
    await asyncio.to_thread(stage.node.pause)
    try:
        yield
    finally:
        stage.node.resume()


async def restart(stage: Stage) -> None:
    """Shut the node down, and start it again."""
    stage.cut_off_all("restart of RabbitMQ")
    await asyncio.to_thread(stage.node.restart)


async def close_all_connections(stage: Stage) -> None:
    """Close every connection, as an operator may."""
    stage.cut_off_all("close_all_connections")
    await asyncio.to_thread(stage.node.operator.close_all_connections)


async def raise_memory_alarm(stage: Stage) -> None:
    """Raise a memory alarm for `hold` seconds: the node stops reading from connections that publish."""
    stage.hurt("memory alarm")
    await asyncio.to_thread(stage.node.raise_memory_alarm)
    try:
        await asyncio.sleep(stage.hold)
    finally:
        await asyncio.to_thread(stage.node.clear_memory_alarm)


async def fill_the_queue(stage: Stage) -> None:
    """Limit the length of the queue by a policy for `hold` seconds: a full queue refuses further messages.

    The limit is raised then, as the doctor says, and not cleared: of a queue that is full when its limit is cleared,
    RabbitMQ tells nobody that it takes messages again, and the delay ladder would keep its events.
    """
    stage.hurt("queue full")
    await asyncio.to_thread(stage.node.operator.limit_queues, f"^{stage.queue}$", FULL)
    try:
        await asyncio.sleep(stage.hold)
    finally:
        await asyncio.to_thread(stage.node.operator.limit_queues, f"^{stage.queue}$", NO_LIMIT)


async def delete_the_queue(stage: Stage) -> None:
    """Delete the queue with its messages, as an operator may: RabbitMQ cancels its consumers, and confirms messages
    that were on their way into the deleted queue."""
    async with _channel(stage) as channel:
        deleted = await channel.queue_delete(stage.queue)
    stage.hurt("queue deleted", losses=(deleted.message_count or 0) + stage.in_flight)


async def delete_the_bindings(stage: Stage) -> None:
    """Delete all bindings of the queue, as an operator may: the queue exists, but gets no messages."""
    stage.hurt("bindings deleted")
    names = Names(stage.site.namespace)
    async with _channel(stage) as channel:
        queue = await channel.get_queue(stage.queue, ensure=False)
        for binding in declarations(names, [Queue("default")]):
            if isinstance(binding, Binding) and binding.target == queue.name:
                await queue.unbind(binding.source, binding.pattern)


async def withdraw_permissions(stage: Stage) -> None:
    """Withdraw the user's permissions on the virtual host and close its connections, for `hold` seconds."""
    stage.cut_off_all("permissions withdrawn")
    await asyncio.to_thread(stage.node.operator.withdraw_permissions)
    try:
        await asyncio.to_thread(stage.node.operator.close_all_connections)
        await asyncio.sleep(stage.hold)
    finally:
        await asyncio.to_thread(stage.node.operator.permit)


@asynccontextmanager
async def _channel(stage: Stage) -> AsyncIterator[AbstractChannel]:
    async with await connect(address(stage.site.broker_url)) as connection:
        yield await connection.channel()


ENDED = (
    Fault("SIGKILL of RabbitMQ", kill, on=("rabbitmq",)),
    Fault("restart of RabbitMQ", restart, on=("rabbitmq",)),
)
HURT = (
    Fault("close_all_connections", close_all_connections, on=("rabbitmq",)),
    Fault("queue deleted, consumer cancelled", delete_the_queue, on=("rabbitmq",)),
    Fault("bindings deleted", delete_the_bindings, on=("rabbitmq",)),
    Fault("queue full", fill_the_queue, on=("rabbitmq",)),
)
WITHHELD = (
    Fault("SIGSTOP of RabbitMQ", freeze, on=("rabbitmq",)),
    Fault("memory alarm", raise_memory_alarm, on=("rabbitmq",)),
    Fault("permissions withdrawn", withdraw_permissions, on=("rabbitmq",)),
)
FAULTS = (*ENDED, *HURT, *WITHHELD)
SHORT = (ENDED, HURT, WITHHELD)
