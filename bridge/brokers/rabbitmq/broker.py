"""RabbitMQ as one process uses it: declares the topology, and makes publishers, consumers and the ledger."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from aio_pika import Connection

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
from bridge.brokers.rabbitmq.probing import Probe
from bridge.brokers.rabbitmq.publisher import RabbitPublisher
from bridge.errors import BrokerRefused, BrokerUnavailable
from bridge.findings import some
from bridge.queues import Queue

DECLARE_SECONDS = 5.0
"""How long `declare` waits for a broker that is away."""

DECLARING_SECONDS = 30.0


_T = TypeVar("_T", RabbitPublisher, RabbitConsumer, RabbitLedger)


class RabbitBroker:
    """See the contract. What was declared through it is declared again where it is lost. Unless it `declares`, all
    must be there instead, and what is missing is a refusal that names it."""

    def __init__(self, address: Address, namespace: str, *, declares: bool = True) -> None:
        self._address = address
        self._declares = declares
        self._names = topology.Names(namespace)
        self._declared: dict[str, Queue] = {}
        self._declaring = asyncio.Lock()
        self._open: list[RabbitPublisher | RabbitConsumer | RabbitLedger] = []

    @classmethod
    def from_url(cls, url: str, namespace: str, *, declares: bool = True) -> "RabbitBroker":
        """Return the broker that the URL names; nothing is connected yet. Raise `SettingsError`."""
        return cls(address(url), namespace, declares=declares)

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

        async def remove(connection: Connection) -> None:
            await topology.remove(await open_channel(connection, confirms=False), objects)

        await self._within_reach(remove)
        return len(objects)

    def publisher(self) -> RabbitPublisher:
        """Return a publisher, with connections of its own."""
        return self._opened(RabbitPublisher(self._address, self._names, self._declared, self._declare_all))

    def consumer(self) -> RabbitConsumer:
        """Return a consumer, with connections of its own."""
        return self._opened(RabbitConsumer(self._address, self._names, self._declare_all, self._declared))

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
        queues = tuple(self._declared.values())

        async def see_to_it(connection: Connection) -> None:
            if self._declares:
                await topology.declare(await open_channel(connection, confirms=False), self._names, queues)
            else:
                await self._require(connection, queues)

        async with self._declaring:
            await self._within_reach(see_to_it)

    async def _require(self, connection: Connection, queues: Sequence[Queue]) -> None:
        """Raise `BrokerRefused` where something is missing that others were to declare."""
        if missing := await Probe(connection).missing(topology.objects(self._names, queues)):
            raise BrokerRefused(
                f"RabbitMQ at {self._address} has no {some([topology.named(each) for each in missing])}, and with "
                "declare = false nobody makes them but an administrator, from what bridge-doctor --definitions prints"
            )

    async def _within_reach(self, work: Callable[[Connection], Awaitable[None]]) -> None:
        try:
            await again_for(DECLARE_SECONDS, partial(self._on_a_connection, work))
        except BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ at {self._address} cannot be reached: {error}") from error

    async def _on_a_connection(self, work: Callable[[Connection], Awaitable[None]]) -> None:
        """Do this on a connection to be thrown away: RabbitMQ closes its channel where it refuses something."""
        connection = await connect(self._address)
        try:
            with cancelled_by_us_alone():
                async with asyncio.timeout(DECLARING_SECONDS):
                    await work(connection)
        except BROKEN as error:
            raise refusal(error, self._address) or error from error
        finally:
            await disconnect(connection)
