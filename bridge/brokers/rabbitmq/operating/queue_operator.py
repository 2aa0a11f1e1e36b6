"""Counts and purges queues over AMQP, without a consumer; see `bridge.brokers.contract.operating`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity

from bridge.brokers.contract.operating import QueueCounts, SiteCounts
from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import connect, disconnect, engine_of
from bridge.brokers.rabbitmq.connection.translation import as_bridge_errors
from bridge.brokers.rabbitmq.topology.delay_ladder import LEVELS
from bridge.brokers.rabbitmq.topology.names import LANES, Names
from bridge.brokers.rabbitmq.topology.presence import Presence, QueueCount, of_lanes
from bridge.errors import BrokerRefused
from bridge.handling import Priority


class RabbitQueueOperator:
    """An operator of one namespace, with a connection for each call.

    RabbitMQ reports no count of held messages over AMQP, and the delay queues are shared by all queues.
    """

    def __init__(self, address: Address, names: Names) -> None:
        self._address = address
        self._names = names

    async def counts(self, queues: Sequence[str]) -> SiteCounts:
        lanes = [(queue, lane) for queue in queues for lane in LANES]
        ladder = [self._names.delay(level) for level in range(LEVELS)]
        async with self._presence() as presence:
            asked = [*(self._names.queue(*lane) for lane in lanes), *ladder]
            counted = await asyncio.gather(*map(presence.queue, asked))
        by_lane: dict[str, dict[Priority, QueueCount]] = {}
        for (queue, lane), count in zip(lanes, counted, strict=False):
            if count is not None:
                by_lane.setdefault(queue, {})[lane] = count
        found = {
            queue: QueueCounts(
                {lane: count.ready for lane, count in counts.items()},
                None,
                None,
                of_lanes(list(counts.values())).consumers,
            )
            for queue, counts in by_lane.items()
        }
        return SiteCounts(found, sum(count.ready for count in counted[len(lanes) :] if count is not None))

    async def purge(self, queue: str) -> int:
        async with self._presence() as presence:
            purged = [await _purged(presence, self._names.queue(queue, lane)) for lane in LANES]
        if all(count is None for count in purged):
            raise BrokerRefused(f"RabbitMQ at {self._address} has no queue '{self._names.queue(queue)}'")
        return sum(count or 0 for count in purged)

    @asynccontextmanager
    async def _presence(self) -> AsyncIterator[Presence]:
        with as_bridge_errors(self._address):
            connection = await connect(self._address)
            try:
                yield Presence(connection)
            finally:
                await disconnect(connection)


async def _purged(presence: Presence, queue: str) -> int | None:
    """Return how many messages were purged from an AMQP queue; None if it does not exist."""
    try:
        return await presence.on_a_channel(lambda channel: _purge(channel, queue))
    except ChannelNotFoundEntity:
        return None


async def _purge(channel: AbstractChannel, queue: str) -> int:
    purged = await (await engine_of(channel)).queue_purge(queue)
    return int(purged.message_count or 0)
