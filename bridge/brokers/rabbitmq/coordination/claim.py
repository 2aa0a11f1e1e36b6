"""A claim on RabbitMQ: an exclusive queue, which exists as long as the connection that declared it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika import Connection
from aiormq.channel import Channel as Engine
from aiormq.exceptions import ChannelLockedResource

from bridge.brokers.contract.claims import ClaimTaken
from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import connect, disconnect, engine_of, is_open, open_channel
from bridge.brokers.rabbitmq.connection.majority import cluster_check
from bridge.brokers.rabbitmq.connection.translation import as_bridge_errors


class RabbitClaim:
    """A claim that is an exclusive queue; see the contract. It consumes from the queue, which is always empty, in order
    to notice that an operator deleted the queue."""

    def __init__(self, channel: Engine) -> None:
        self._channel = channel
        self._lost = asyncio.Event()
        channel.closing.add_done_callback(self._notice)
        channel.connection.closing.add_done_callback(self._notice)
        channel.on_consumer_cancel_callbacks.add(self._notice)

    @property
    def held(self) -> bool:
        return is_open(self._channel) and not self._lost.is_set()

    async def until_lost(self) -> None:
        await self._lost.wait()

    def _notice(self, _: object) -> None:
        self._lost.set()


@asynccontextmanager
async def hold(address: Address, queue: str, taken: str, question: str) -> AsyncIterator[RabbitClaim]:
    """Hold the claim that is this queue, on a host that is not cut off: `question` is the queue for `cluster_check`.
    Raise `ClaimTaken` with the sentence `taken` if another connection holds it, else `BrokerUnavailable` or
    `BrokerRefused`."""
    with as_bridge_errors(address):
        connection = await connect(address, cluster_check(address, question))
    try:
        with as_bridge_errors(address):
            claim = await _claim(connection, queue, taken)
        yield claim
    finally:
        await disconnect(connection)


async def _claim(connection: Connection, queue: str, taken: str) -> RabbitClaim:
    channel = await open_channel(connection, confirms=False)
    try:
        await channel.declare_queue(queue, exclusive=True)
    except ChannelLockedResource as error:
        raise ClaimTaken(taken) from error
    engine = await engine_of(channel)
    claim = RabbitClaim(engine)
    await engine.basic_consume(queue, _ignore, no_ack=True)
    return claim


async def _ignore(message: object) -> None:
    """Ignore a message: the queue is meant to be empty."""
