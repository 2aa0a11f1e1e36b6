"""Counts the ready messages of queues by lane, and the messages on the delay ladder, on a channel that consumes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel

from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.rabbitmq.consuming.subscriptions import Lane
from bridge.brokers.rabbitmq.topology.declaring import message_counts
from bridge.brokers.rabbitmq.topology.delay_ladder import LEVELS
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.handling import Priority


@dataclass(frozen=True, slots=True)
class Counts:
    """The ready messages of each queue by priority, and all that wait on the delay ladder."""

    ready: Mapping[str, Mapping[Priority, int]]
    waiting: int

    def backlogs(self, held: Mapping[str, int]) -> dict[str, Backlog]:
        """Return the backlog of each queue. `held` has the deliveries of each that this process holds."""
        return {
            queue: Backlog(sum(by_lane.values()), held.get(queue, 0), self.waiting, by_lane)
            for queue, by_lane in self.ready.items()
        }


async def counts_of(channel: AbstractChannel, names: Names, lanes: Sequence[Lane]) -> Counts:
    """Return the counts of these lanes, asked together. Raise what `message_counts` raises."""
    ladder = list(map(names.delay, range(LEVELS)))
    counts = await message_counts(channel, [*(names.queue(*lane) for lane in lanes), *ladder])
    ready: dict[str, dict[Priority, int]] = {}
    for (queue, priority), count in zip(lanes, counts, strict=False):
        ready.setdefault(queue, {})[priority] = count
    return Counts(ready, sum(counts[len(lanes) :]))
