"""Gives many tests, one after the other, the same namespace on RabbitMQ: declaring its twenty quorum queues for each
test would take most of the tests' time. The namespace is emptied between two tests, and replaced if a test left a
message on the delay ladder. Nothing is left on the broker at the end.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import aio_pika
from aiormq.exceptions import ChannelLockedResource, ChannelNotFoundEntity

from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.topology import declarations as topology
from bridge.brokers.rabbitmq.topology.declarations import Declaration
from bridge.brokers.rabbitmq.topology.declaring import message_counts
from bridge.brokers.rabbitmq.topology.delay_ladder import LEVELS
from bridge.brokers.rabbitmq.topology.names import LANES, Names
from bridge.logs import Retention
from bridge.queues import Queue

LOGS = ("notes", "others")
"""The logs that tests use."""


@asynccontextmanager
async def with_queue(url: str, namespace: str, queue: Queue) -> AsyncIterator[RabbitBroker]:
    """Return a broker in a namespace of its own, with this queue. The namespace is removed afterwards."""
    broker = RabbitBroker.from_url(url, namespace)
    await broker.declare([queue])
    try:
        yield broker
    finally:
        await broker.close()
        await broker.remove([queue])


def with_default(url: str, namespace: str) -> AbstractAsyncContextManager[RabbitBroker]:
    """Return a broker as `with_queue` does, with the queue `default`."""
    return with_queue(url, namespace, Queue("default"))


class Namespaces:
    """The namespaces of the tests on one broker."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._empty: str | None = None

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Return an empty namespace. It is emptied after the block, and other namespaces that this process declared are
        removed."""
        namespace = self._empty or f"t{uuid.uuid4().hex[:10]}"
        self._empty = None
        with recorded() as declared:
            yield namespace
        for each, queues in declared.items():
            if each == namespace and asyncio.run(self._emptied(each, queues)):
                self._empty = namespace
            else:
                asyncio.run(self._remove(each, queues))

    def remove(self) -> None:
        """Remove all namespaces."""
        if self._empty is not None:
            asyncio.run(self._remove(self._empty, {}))

    async def _remove(self, namespace: str, queues: dict[str, Queue]) -> None:
        await RabbitBroker.from_url(self._url, namespace).remove(tuple(queues.values()))

    async def _emptied(self, namespace: str, queues: dict[str, Queue]) -> bool:
        """Delete the queues and the ledger. Return False if other objects were not empty or did not exist."""
        names = Names(namespace)
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            lanes = [names.queue(queue, lane) for queue in queues for lane in LANES]
            try:
                for queue in (names.ledger, names.deciding, *map(names.log, LOGS), names.log(topology.HEADS), *lanes):
                    await channel.queue_delete(queue)
                rest = [names.unrouted, *map(names.delay, range(LEVELS))]
                left = await message_counts(channel, rest)
            except (ChannelNotFoundEntity, ChannelLockedResource):
                return False
        return not any(left)


@contextmanager
def recorded() -> Iterator[dict[str, dict[str, Queue]]]:
    """Record the queues that are declared in the block, by namespace and name."""
    declared: dict[str, dict[str, Queue]] = defaultdict(dict)
    declarations = topology.declarations

    def recording(names: Names, queues: Sequence[Queue], history: Retention | None = None) -> Iterator[Declaration]:
        declared[names.namespace].update((queue.name, queue) for queue in queues)
        return declarations(names, queues, history)

    topology.declarations = recording
    try:
        yield declared
    finally:
        topology.declarations = declarations
