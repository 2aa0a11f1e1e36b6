"""The AMQP consumers of one channel. Each lane of a queue is an AMQP queue. RabbitMQ fixes a consumer's prefetch when
it starts, so a larger prefetch for a lane starts one more consumer, and a smaller one ends consumers.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from pamqp.base import Frame as Method
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection.client_internals import call_together, ignore_delivery
from bridge.brokers.rabbitmq.consuming.consumer_channel import ConsumerChannel
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.handling import Priority


class Lane(NamedTuple):
    """A lane of a queue."""

    queue: str
    priority: Priority


@dataclass(frozen=True, slots=True)
class Subscription:
    """A consumer of one lane, and the most deliveries that it holds."""

    lane: Lane
    prefetch: int


class Subscriptions:
    """The consumers of a channel. Its methods raise aiormq's errors; the channel is unusable afterwards."""

    def __init__(self, channel: ConsumerChannel, names: Names) -> None:
        self.channel = channel
        self._names = names
        self._running: dict[str, Subscription] = {}
        self._lanes: dict[str, Lane] = {}
        self._heard: set[str] = set()
        self._heard_before: set[str] = set()
        self._numbers = count(1)
        self._one_by_one = asyncio.Lock()  # basic.qos sets the prefetch of the consumer that starts next

    @property
    def lanes(self) -> frozenset[Lane]:
        """The lanes that have a consumer."""
        return frozenset(each.lane for each in self._running.values())

    def quiet(self) -> frozenset[Lane]:
        """Return the lanes of which nothing has arrived since the last `listen_anew()`, although RabbitMQ may send
        more: their consumers may hold more than is held of their queue."""
        held, heard, most = self.channel.unacked.by_queue(), {self._lanes[tag] for tag in self._heard}, Counter[Lane]()
        for each in self._running.values():
            most[each.lane] += each.prefetch
        return frozenset(lane for lane, size in most.items() if lane not in heard and held[lane.queue] < size)

    def listen_anew(self) -> None:
        """Forget what has arrived until now, for `quiet()`."""
        self._heard_before |= self._heard
        self._heard.clear()

    def has_brought(self, lane: Lane) -> bool:
        """Return True if a consumer of the lane that still runs has brought a delivery."""
        heard = self._heard | self._heard_before
        return any(each.lane == lane and tag in heard for tag, each in self._running.items())

    def arrived_from(self, tag: str) -> Lane:
        """Note that a consumer, perhaps one that has ended, has brought a delivery. Return its lane."""
        self._heard.add(tag)
        return self._lanes[tag]

    async def begin(self, prefetch: Mapping[Lane, int]) -> None:
        """Start a consumer for each lane on a new channel, all together: one after the other takes two round trips for
        each."""
        engine, methods = self.channel.engine, list[Method]()
        async with self._one_by_one:
            for lane, size in prefetch.items():
                if size > 0:
                    tag = self._new(lane, size)
                    engine.consumers[tag] = ignore_delivery
                    consume = Basic.Consume(queue=self._names.queue(*lane), consumer_tag=tag)
                    methods += [Basic.Qos(prefetch_count=size), consume]
            await call_together(engine, methods)

    async def hold(self, lane: Lane, prefetch: int) -> set[str]:
        """Set the most deliveries of the lane that are held. Return the tags of consumers that were ended for that."""
        async with self._one_by_one:
            running = [(tag, each.prefetch) for tag, each in self._running.items() if each.lane == lane]
            surplus = sum(size for _, size in running) - prefetch
            ended = set()
            while surplus > 0:
                tag, size = running.pop()
                await self._end(tag)
                ended.add(tag)
                surplus -= size
            if surplus < 0:
                await self._begin_one(lane, -surplus)
        return ended

    async def end(self, but: Callable[[str], bool]) -> None:
        """End all consumers, but those of queues for which `but` returns True."""
        async with self._one_by_one:
            for tag, each in tuple(self._running.items()):
                if not but(each.lane.queue):
                    await self._end(tag)

    def forget(self, tag: str) -> Lane:
        """Remove a consumer that RabbitMQ has ended. Return its lane."""
        self._running.pop(tag, None)
        return self._lanes[tag]

    def _new(self, lane: Lane, prefetch: int) -> str:
        tag = f"{lane.queue}.{next(self._numbers)}"
        self._lanes[tag] = lane
        self._running[tag] = Subscription(lane, prefetch)
        return tag

    async def _begin_one(self, lane: Lane, prefetch: int) -> None:
        tag = self._new(lane, prefetch)
        await self.channel.engine.basic_qos(prefetch_count=prefetch)
        await self.channel.engine.basic_consume(self._names.queue(*lane), ignore_delivery, consumer_tag=tag)

    async def _end(self, tag: str) -> None:
        self._running.pop(tag, None)
        await self.channel.engine.basic_cancel(tag)
