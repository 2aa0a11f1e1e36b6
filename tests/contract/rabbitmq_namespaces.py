"""One namespace on RabbitMQ for many tests, one after the other: to declare its twenty quorum queues anew for each test
would take most of the tests' time. It is emptied between two tests, and another takes its place where one left
something on the delay ladder. Nothing is left on the broker in the end.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import aio_pika
from aiormq.exceptions import ChannelLockedResource, ChannelNotFoundEntity

from bridge.brokers.rabbitmq import topology
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.ladder import LEVELS
from bridge.brokers.rabbitmq.topology import Declaration, Names
from bridge.queues import Queue


@asynccontextmanager
async def with_default(url: str, namespace: str) -> AsyncIterator[RabbitBroker]:
    """A broker in a namespace of its own, with the queue `default`; nothing of it is left."""
    broker = RabbitBroker.from_url(url, namespace)
    await broker.declare([Queue("default")])
    try:
        yield broker
    finally:
        await broker.close()
        await broker.remove([Queue("default")])


class Namespaces:
    """The namespaces of one broker's tests."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._empty: str | None = None

    @contextmanager
    def lent(self) -> Iterator[str]:
        """An empty namespace. It, and all that this process declares in any other meanwhile, is cleared away."""
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
        """Remove what is left."""
        if self._empty is not None:
            asyncio.run(self._remove(self._empty, {}))

    async def _remove(self, namespace: str, queues: dict[str, Queue]) -> None:
        await RabbitBroker.from_url(self._url, namespace).remove(tuple(queues.values()))

    async def _emptied(self, namespace: str, queues: dict[str, Queue]) -> bool:
        """Delete the queues and the ledger. Return False where the rest was not empty, or not there."""
        names = Names(namespace)
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            try:
                for queue in (names.ledger, names.deciding, *map(names.queue, queues)):
                    await channel.queue_delete(queue)
                rest = [names.unrouted, *map(names.delay, range(LEVELS))]
                purged = [await (await channel.get_queue(queue, ensure=False)).purge() for queue in rest]
            except (ChannelNotFoundEntity, ChannelLockedResource):
                return False
        return not any(answer.message_count for answer in purged)


@contextmanager
def recorded() -> Iterator[dict[str, dict[str, Queue]]]:
    """The queues that are declared meanwhile, by namespace and name."""
    declared: dict[str, dict[str, Queue]] = defaultdict(dict)
    declarations = topology.declarations

    def recording(names: Names, queues: Sequence[Queue]) -> Iterator[Declaration]:
        declared[names.namespace].update((queue.name, queue) for queue in queues)
        return declarations(names, queues)

    topology.declarations = recording
    try:
        yield declared
    finally:
        topology.declarations = declarations
