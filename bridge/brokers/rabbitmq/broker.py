"""RabbitMQ as one process uses it: declares the topology, and makes publishers, consumers and the ledger."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

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

    def publisher(self) -> RabbitPublisher:
        """Return a publisher, with a connection of its own."""
        return self._opened(RabbitPublisher(self._address, self._names, self._declare_all))

    def consumer(self) -> RabbitConsumer:
        """Return a consumer, with two connections of its own."""
        return self._opened(RabbitConsumer(self._address, self._names, self._declare_all))

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
        try:
            async with self._declaring:
                await again_for(DECLARE_SECONDS, self._declare_once)
        except BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ at {self._address} cannot be reached: {error}") from error

    async def _declare_once(self) -> None:
        connection = await connect(self._address)
        try:
            with cancelled_by_us_alone():
                async with asyncio.timeout(DECLARING_SECONDS):
                    channel = await open_channel(connection, confirms=False)
                    await topology.declare(channel, self._names, tuple(self._declared.values()))
        except BROKEN as error:
            raise refusal(error, self._address) or error from error
        finally:
            await disconnect(connection)
