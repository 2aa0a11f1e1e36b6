"""RabbitMQ as one process uses it: declares the topology, and makes publishers, consumers and the ledger."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from aio_pika.abc import AbstractChannel

from bridge.brokers.rabbitmq import topology
from bridge.brokers.rabbitmq.address import Address, address
from bridge.brokers.rabbitmq.connection import (
    BROKEN,
    again_for,
    cancelled_by_us_alone,
    connect,
    disconnect,
    open_channel,
    refusal,
)
from bridge.brokers.rabbitmq.consumer import RabbitConsumer
from bridge.brokers.rabbitmq.ledger import RabbitLedger
from bridge.brokers.rabbitmq.publisher import RabbitPublisher
from bridge.errors import BrokerUnavailable
from bridge.queues import Queue

DECLARE_SECONDS = 5.0
"""How long `declare` waits for a broker that is away."""

DECLARING_SECONDS = 30.0


_T = TypeVar("_T", RabbitPublisher, RabbitConsumer, RabbitLedger)


class RabbitBroker:
    """See the contract. What was declared through it is declared again where it is lost."""

    def __init__(self, address: Address, namespace: str) -> None:
        self._address = address
        self._names = topology.Names(namespace)
        self._declared: dict[str, Queue] = {}
        self._declaring = asyncio.Lock()
        self._open: list[RabbitPublisher | RabbitConsumer | RabbitLedger] = []

    @classmethod
    def from_url(cls, url: str, namespace: str) -> "RabbitBroker":
        """Return the broker that the URL names; nothing is connected yet. Raise `SettingsError`."""
        return cls(address(url), namespace)

    @property
    def name(self) -> str:
        """What it is and where, for people."""
        return f"RabbitMQ at {self._address}, namespace '{self._names.namespace}'"

    async def declare(self, queues: Sequence[Queue]) -> None:
        """Make the queues be there. Raise `BrokerUnavailable` after some 5 s, or `BrokerRefused`."""
        self._declared.update((queue.name, queue) for queue in queues)
        await self._declare_all()

    async def remove(self, queues: Sequence[Queue]) -> int:
        """Delete the exchanges and queues of the namespace, these queues among them, with all that they hold, and
        return how many those are; what is not there is no error. Raises what `declare` raises."""
        objects = topology.objects(self._names, queues)
        await self._within_reach(partial(topology.remove, objects=objects))
        return len(objects)

    def publisher(self) -> RabbitPublisher:
        """Return a publisher, with a connection of its own."""
        return self._opened(RabbitPublisher(self._address, self._names, self._declare_all))

    def consumer(self) -> RabbitConsumer:
        """Return a consumer, with two connections of its own."""
        return self._opened(RabbitConsumer(self._address, self._names, self._declare_all, self._declared.keys()))

    def ledger(self) -> RabbitLedger:
        """Return the ledger; it connects for each reading."""
        return self._opened(RabbitLedger(self._address, self._names, self.publisher))

    async def close(self) -> None:
        """Close every connection, within some 2 s."""
        await asyncio.gather(*(one.close() for one in self._open))

    def _opened(self, one: _T) -> _T:
        self._open.append(one)
        return one

    async def _declare_all(self) -> None:
        async def declare(channel: AbstractChannel) -> None:
            await topology.declare(channel, self._names, tuple(self._declared.values()))

        async with self._declaring:
            await self._within_reach(declare)

    async def _within_reach(self, work: Callable[[AbstractChannel], Awaitable[None]]) -> None:
        try:
            await again_for(DECLARE_SECONDS, partial(self._on_a_channel, work))
        except BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ at {self._address} cannot be reached: {error}") from error

    async def _on_a_channel(self, work: Callable[[AbstractChannel], Awaitable[None]]) -> None:
        """Do this on a channel to be thrown away: it is closed where RabbitMQ refuses something."""
        connection = await connect(self._address)
        try:
            with cancelled_by_us_alone():
                async with asyncio.timeout(DECLARING_SECONDS):
                    await work(await open_channel(connection, confirms=False))
        except BROKEN as error:
            raise refusal(error, self._address) or error from error
        finally:
            await disconnect(connection)
