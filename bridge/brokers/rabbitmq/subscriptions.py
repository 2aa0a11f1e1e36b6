"""The AMQP consumers of one channel. A consumer's prefetch is fixed when it begins, so a queue that is to hold more
gets one more consumer, and loses one when it is to hold less.
"""

import asyncio
from dataclasses import dataclass
from itertools import count

from bridge.brokers.rabbitmq.intake import ignore
from bridge.brokers.rabbitmq.session import Session
from bridge.brokers.rabbitmq.topology import Names


@dataclass(frozen=True, slots=True)
class Subscription:
    """A consumer: of which queue, and how many it holds at most."""

    queue: str
    prefetch: int


class Subscriptions:
    """Which consumers a channel has. Raises what aiormq raises; the channel is no good then."""

    def __init__(self, session: Session, names: Names) -> None:
        self.session = session
        self._names = names
        self._running: dict[str, Subscription] = {}
        self._queues: dict[str, str] = {}
        self._numbers = count(1)
        self._one_by_one = asyncio.Lock()  # a prefetch is said to the channel, for the consumer that begins next

    @property
    def queues(self) -> frozenset[str]:
        """The queues that have a consumer."""
        return frozenset(one.queue for one in self._running.values())

    def queue_of(self, tag: str) -> str:
        """The queue of a consumer, ended ones included."""
        return self._queues[tag]

    async def hold(self, queue: str, prefetch: int) -> set[str]:
        """Hold at most so many of the queue from now on. Return the tags of the consumers that were ended for it."""
        async with self._one_by_one:
            running = [(tag, one.prefetch) for tag, one in self._running.items() if one.queue == queue]
            surplus = sum(size for _, size in running) - prefetch
            ended = set()
            while surplus > 0:
                tag, size = running.pop()
                await self._end(tag)
                ended.add(tag)
                surplus -= size
            if surplus < 0:
                await self._begin(queue, -surplus)
        return ended

    async def end(self) -> None:
        """End them all."""
        async with self._one_by_one:
            for tag in tuple(self._running):
                await self._end(tag)

    def forget(self, tag: str) -> str:
        """RabbitMQ has ended this one. Return its queue."""
        self._running.pop(tag, None)
        return self._queues[tag]

    async def _begin(self, queue: str, prefetch: int) -> None:
        tag = f"{queue}.{next(self._numbers)}"
        self._queues[tag] = queue
        self._running[tag] = Subscription(queue, prefetch)
        await self.session.channel.basic_qos(prefetch_count=prefetch)
        await self.session.channel.basic_consume(self._names.queue(queue), ignore, consumer_tag=tag)

    async def _end(self, tag: str) -> None:
        self._running.pop(tag, None)
        await self.session.channel.basic_cancel(tag)
