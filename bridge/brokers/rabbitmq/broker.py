"""RabbitMQ as one process uses it: declares the topology, and makes publishers, consumers, the ledger and the rest."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol, TypeVar

from aio_pika import Connection

from bridge.brokers.any_broker.record_log import RecordLog
from bridge.brokers.contract.findings import some
from bridge.brokers.contract.tls import DEFAULT_TLS, Tls
from bridge.brokers.rabbitmq.calling.caller import RabbitCaller
from bridge.brokers.rabbitmq.calling.server import RabbitCallServer
from bridge.brokers.rabbitmq.connection.address import Address, address
from bridge.brokers.rabbitmq.connection.connecting import (
    BROKEN,
    CLOSE_SECONDS,
    again_for,
    cancelled_by_us_alone,
    connect,
    disconnect,
    open_channel,
    refusal,
)
from bridge.brokers.rabbitmq.connection.errors import error_text
from bridge.brokers.rabbitmq.connection.majority import cluster_check
from bridge.brokers.rabbitmq.consuming.consumer import RabbitConsumer
from bridge.brokers.rabbitmq.coordination.broadcast import RabbitBroadcast
from bridge.brokers.rabbitmq.coordination.claim import RabbitClaim, hold
from bridge.brokers.rabbitmq.logs.ledger import RabbitLedger
from bridge.brokers.rabbitmq.logs.log import RabbitBatchLog
from bridge.brokers.rabbitmq.mailboxes.mailboxes import RabbitMailboxes
from bridge.brokers.rabbitmq.operating.queue_operator import RabbitQueueOperator
from bridge.brokers.rabbitmq.publishing.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.topology import declarations as topology
from bridge.brokers.rabbitmq.topology import declaring
from bridge.brokers.rabbitmq.topology.declarations import AmqpExchange, AmqpQueue, Binding, Declaration
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.brokers.rabbitmq.topology.presence import Presence
from bridge.errors import BrokerRefused, BrokerUnavailable
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.logs import KEEP_ALL, Retention
from bridge.queues import Queue

DECLARE_SECONDS = 5.0
"""The time that `declare` waits for an unreachable broker."""

DECLARING_SECONDS = 30.0
"""The time that all declarations may take on one connection."""


PREPARED_EVERY = 30.0
"""Seconds between two declarations that no publish waits for, which failed publishes cause. All declarations take less,
so that there is one at a time."""

log = logging.getLogger(__name__)


class _Closable(Protocol):
    async def close(self) -> None: ...


_T = TypeVar("_T", bound=_Closable)


class RabbitBroker:
    """RabbitMQ as a `Broker`. Objects that were declared through it are declared again if they are lost. Unless it
    `declares`, an administrator must have declared them, and a missing object raises `BrokerRefused` with its name."""

    def __init__(self, address: Address, namespace: str, *, declares: bool = True, keys: LedgerKeys = NO_KEYS) -> None:
        self._address = address
        self._declares = declares
        self._keys = keys
        self._names = Names(namespace)
        self._check = cluster_check(address, self._names.question)
        """The check of a temporary connection to a cluster: on a node that is cut off, nothing could be declared."""
        self._declared: dict[str, Queue] = {}
        self._declaring = asyncio.Lock()
        self._refusal = ""
        self._prepared_at = -PREPARED_EVERY
        self._preparing: asyncio.Task[None] | None = None
        self._open: list[_Closable] = []

    @classmethod
    def from_url(
        cls, url: str, namespace: str, *, declares: bool = True, tls: Tls = DEFAULT_TLS, keys: LedgerKeys = NO_KEYS
    ) -> "RabbitBroker":
        """Return the broker that the URL names; it connects later. Raise `SettingsError`."""
        return cls(address(url, tls), namespace, declares=declares, keys=keys)

    @property
    def name(self) -> str:
        """The kind of broker, its address and the namespace, for people."""
        return f"RabbitMQ at {self._address}, namespace '{self._names.namespace}'"

    @property
    def trouble(self) -> str:
        return ""  # `prepare` does not connect, and a publisher's `ready` names the reason

    async def declare(self, queues: Sequence[Queue]) -> None:
        """Declare the queues, or check that they exist. Raise `BrokerRefused`, or after 5 s `BrokerUnavailable`."""
        self._declared.update((queue.name, queue) for queue in queues)
        await self._declare_all()

    async def prepare(self, queues: Sequence[Queue]) -> None:
        """Get ready to publish to the queues; see the contract. A broker that declares does so meanwhile, unawaited."""
        self._declared.update((queue.name, queue) for queue in queues)
        now = time.monotonic()
        if self._declares and now - self._prepared_at >= PREPARED_EVERY:
            self._prepared_at = now
            self._preparing = asyncio.create_task(self._declare_unawaited(), name="RabbitMQ declarations")

    async def remove(self, queues: Sequence[Queue]) -> int:
        """Delete the exchanges and queues of the namespace, including these queues, with all messages. Return the
        number of objects; a missing object is no error. Raise what `declare` raises."""
        objects = topology.objects(self._names, queues, KEEP_ALL)  # a log is deleted by its name

        async def remove(connection: Connection) -> None:
            await declaring.remove(await open_channel(connection, confirms=False), objects)

        await self._within_reach(remove)
        return len(objects)

    def publisher(self) -> RabbitPublisher:
        """Return a publisher, with connections of its own."""
        return self._opened(RabbitPublisher(self._address, self._names, self._declared, self._declare_all, self._keys))

    def consumer(self) -> RabbitConsumer:
        """Return a consumer, with connections of its own."""
        return self._opened(
            RabbitConsumer(self._address, self._names, self._declare_all, self._declared, self._heads, self._keys)
        )

    def ledger(self) -> RabbitLedger:
        """Return the ledger, which makes a connection for each reading."""
        return self._opened(RabbitLedger(self._address, self._names, self.publisher, self._keys))

    def log(self, name: str, retention: Retention = KEEP_ALL) -> RecordLog:
        """Return the log of this name, with connections of its own."""
        stream = topology.log_stream(self._names, name, retention)

        async def declare() -> None:
            needed = topology.log_declarations(self._names, stream)
            await self._within_reach(partial(self._declare_or_require, needed))

        batches = RabbitBatchLog(self._address, self._names, stream.name, declare, indexed=not retention.is_limited)
        return self._opened(RecordLog(name, batches))

    def _heads(self) -> RecordLog:
        """Return the log of the retries that wait at the heads of ordered queues."""
        return self.log(topology.HEADS, topology.HEADS_RETENTION)

    def claim(self, name: str) -> AbstractAsyncContextManager[RabbitClaim]:
        """Hold the claim of this name, on a connection of its own."""
        taken = f"another process holds the claim '{name}' on {self.name}"
        return hold(self._address, self._names.claim(name), taken, self._names.question)

    def broadcast(self, subject: str) -> RabbitBroadcast:
        """Return the broadcasts of this subject, with connections of their own."""
        return self._opened(RabbitBroadcast(self._address, self._names, subject, self._declare_all))

    def caller(self) -> RabbitCaller:
        """Return a caller, with a connection of its own."""
        return self._opened(RabbitCaller(self._address, self._names, self._declare_all))

    def call_server(self) -> RabbitCallServer:
        """Return a server of calls, with a connection of its own."""
        return self._opened(RabbitCallServer(self._address, self._names, self._declare_all))

    def mailboxes(self) -> RabbitMailboxes:
        """Return the mailboxes, with connections of their own."""

        async def declare(mailbox: str) -> None:
            needed = list(topology.mailbox_declarations(self._names, [mailbox]))
            await self._within_reach(partial(self._declare_or_require, needed))

        return self._opened(RabbitMailboxes(self._address, self._names, declare))

    def operator(self) -> RabbitQueueOperator:
        """Return the operator, which makes a connection for each call."""
        return RabbitQueueOperator(self._address, self._names)

    async def close(self) -> None:
        """Close every connection, within some 2 s."""
        await asyncio.gather(self._stop_preparing(), *(each.close() for each in self._open))

    async def _stop_preparing(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.wait({self._preparing}, timeout=CLOSE_SECONDS)

    def _opened(self, closable: _T) -> _T:
        self._open.append(closable)
        return closable

    async def _declare_all(self) -> None:
        queues = tuple(self._declared.values())

        async def declare_or_require(connection: Connection) -> None:
            if self._declares:
                await declaring.declare(connection, self._names, queues)
            else:
                await self._require(connection, topology.objects(self._names, queues))

        async with self._declaring:
            await self._within_reach(declare_or_require)

    async def _declare_unawaited(self) -> None:
        try:
            await self._declare_all()
        except BrokerUnavailable:
            pass  # a publish fails for the same reason, and the next one prepares again
        except BrokerRefused as error:
            if str(error) != self._refusal:
                self._refusal = str(error)
                log.warning("the queues are not declared: %s; events are published to those that exist", error)
        else:
            self._refusal = ""

    async def _declare_or_require(self, needed: Sequence[Declaration], connection: Connection) -> None:
        """Declare these objects, or check that they exist."""
        if not self._declares:
            await self._require(connection, [each for each in needed if not isinstance(each, Binding)])
            return
        channel = await open_channel(connection, confirms=False)
        for each in needed:
            await declaring.declare_one(channel, each)

    async def _require(self, connection: Connection, objects: Sequence[AmqpExchange | AmqpQueue]) -> None:
        """Raise `BrokerRefused` if an object is missing that an administrator has to declare."""
        if missing := await Presence(connection).missing(objects):
            raise BrokerRefused(
                f"RabbitMQ at {self._address} has no {some([topology.named(each) for each in missing])}; because of "
                "declare = false an administrator has to import the output of bridge-doctor --definitions"
            )

    async def _within_reach(self, work: Callable[[Connection], Awaitable[None]]) -> None:
        try:
            await again_for(DECLARE_SECONDS, partial(self._on_a_connection, work))
        except BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ at {self._address} cannot be reached: {error_text(error)}") from error

    async def _on_a_connection(self, work: Callable[[Connection], Awaitable[None]]) -> None:
        """Do this on a temporary connection: RabbitMQ closes the channel if it refuses something."""
        connection = await connect(self._address, self._check)
        try:
            with cancelled_by_us_alone():
                async with asyncio.timeout(DECLARING_SECONDS):
                    await work(connection)
        except BROKEN as error:
            raise refusal(error, self._address) or error from error
        finally:
            await disconnect(connection)
