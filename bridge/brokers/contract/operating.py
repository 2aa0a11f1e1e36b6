"""The broker's promise to operators: counts of queues, and their purge, without a consumer. Takes no event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.handling import Priority


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Counts of one queue; None for a count that the broker does not report.

    `ready`: the events to be taken, by priority. `held`: the events that consumers hold. `waiting`: the events of this
    queue that wait until they are due. `consumers`: the number of consumers, of which a worker may have several.
    """

    ready: Mapping[Priority, int]
    held: int | None
    waiting: int | None
    consumers: int | None


@dataclass(frozen=True, slots=True)
class SiteCounts:
    """The counts of the queues that exist, by name, and the number of all events of the namespace that wait until they
    are due."""

    queues: Mapping[str, QueueCounts]
    waiting: int


class QueueOperator(Protocol):
    """Counts and purges queues."""

    async def counts(self, queues: Sequence[str]) -> SiteCounts:
        """Return the counts of these queues. Raise `BrokerUnavailable` or `BrokerRefused`."""

    async def purge(self, queue: str) -> int:
        """Delete the ready events of a queue for good, and return their number. Events that a worker holds, and events
        that are not due yet, stay. Raise `BrokerUnavailable`, or `BrokerRefused` if there is no such queue."""
