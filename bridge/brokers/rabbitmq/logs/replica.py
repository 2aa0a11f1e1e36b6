"""Chooses the replica of a stream to read. RabbitMQ serves a reader from the node to which it is connected. A node that
has just restarted has fewer messages than the others for a while, or none.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aio_pika import Connection
from aiormq.exceptions import ChannelPreconditionFailed, ConnectionInternalError

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import (
    BROKEN,
    again_for,
    cancelled_by_us_alone,
    connect,
    disconnect,
    open_channel,
)
from bridge.brokers.rabbitmq.logs.stream import PREFETCH, Stream
from bridge.errors import BrokerRefused

PATIENCE = 10.0
"""Seconds that a node may need to start its replica. If one address leads to several nodes, another one may answer."""

NOT_READY = (ChannelPreconditionFailed, ConnectionInternalError)
"""The errors of a node whose replica does not run, or that fails to open the replica's files (541, as under load). Both
pass."""


class Replica:
    """A connection to one node. `end` is the offset of the newest message there; None if the stream is empty."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.end: int | None = None
        self._connection = connection
        self._name = name

    @property
    def is_closed(self) -> bool:
        """True if the connection is closed."""
        return bool(self._connection.is_closed)

    @asynccontextmanager
    async def stream(self, prefetch: int = PREFETCH) -> AsyncIterator[Stream]:
        """Return the stream for reading on a channel that is closed at the end of the block. After an error, the
        replica can only be closed."""
        channel = await open_channel(self._connection, confirms=False)
        yield Stream(channel, self._name, prefetch)
        await channel.close()  # not after an error: a frozen node would never answer

    async def close(self) -> None:
        """Close the connection within some 2 s; a second call does nothing."""
        await disconnect(self._connection)


async def furthest(address: Address, name: str) -> Replica:
    """Return the replica with the newest message, of all nodes that answer. Only the stream's leader is sure to have
    all confirmed messages, so the address should name every node. Raise one of `BROKEN`, or `BrokerRefused`."""
    return await again_for(PATIENCE, partial(_furthest, address, name), NOT_READY)


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
            raise next((error for error in errors if isinstance(error, NOT_READY)), errors[-1])
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
