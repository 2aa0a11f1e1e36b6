"""The replica of a stream that is read. RabbitMQ serves a reader from the node that it is connected to: a node that has
just come back has less than the others for a while, or nothing yet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aio_pika import Connection
from aiormq.exceptions import ChannelPreconditionFailed

from bridge.brokers.rabbitmq.address import Address
from bridge.brokers.rabbitmq.connection import (
    BROKEN,
    again_for,
    cancelled_by_us_alone,
    connect,
    disconnect,
    open_channel,
)
from bridge.brokers.rabbitmq.stream import PREFETCH, Stream
from bridge.errors import BrokerRefused

PATIENCE = 10.0
"""Seconds that a node may need to start its replica; behind one address for several nodes, another one may answer."""


class Replica:
    """A connection to one node, and the offset of the newest message there; None where there is none."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.end: int | None = None
        self._connection = connection
        self._name = name

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be read any more."""
        return bool(self._connection.is_closed)

    @asynccontextmanager
    async def stream(self, prefetch: int = PREFETCH) -> AsyncIterator[Stream]:
        """Read it, on a channel that ends with this. After an error the replica is of no more use, but to close it."""
        channel = await open_channel(self._connection, confirms=False)
        yield Stream(channel, self._name, prefetch)
        await channel.close()  # not after an error: a frozen node would never answer

    async def close(self) -> None:
        """Close the connection, within some 2 s; twice is as good as once."""
        await disconnect(self._connection)


async def furthest(address: Address, name: str) -> Replica:
    """Return the replica that reaches furthest, of the nodes that answer. The stream's leader has all that was ever
    confirmed, so it takes the address of each node to be sure. Raise one of `BROKEN`, or `BrokerRefused`."""
    no_replica_runs = (ChannelPreconditionFailed,)
    return await again_for(PATIENCE, partial(_furthest, address, name), no_replica_runs)


async def _furthest(address: Address, name: str) -> Replica:
    replicas: list[Replica] = []
    errors: list[Exception] = []
    best: Replica | None = None
    try:
        for host in address.each_host():
            try:
                replicas.append(await _replica(host, name))
            except (*BROKEN, BrokerRefused) as error:
                errors.append(error)
        if not replicas:
            raise next((error for error in errors if isinstance(error, ChannelPreconditionFailed)), errors[-1])
        best = max(replicas, key=_reach)
        return best
    finally:
        for replica in replicas:
            if replica is not best:
                await replica.close()


async def _replica(host: Address, name: str) -> Replica:
    replica = Replica(await connect(host), name)
    try:
        with cancelled_by_us_alone():
            async with replica.stream() as stream:
                replica.end = await stream.last()
    except BaseException:
        await replica.close()
        raise
    return replica


def _reach(replica: Replica) -> int:
    return -1 if replica.end is None else replica.end
