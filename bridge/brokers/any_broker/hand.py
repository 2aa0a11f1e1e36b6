"""The deliveries that a consumer holds and has not handed out, and the choice of the next one. No I/O.

A queue has a lane for each priority. The queues take turns by their weights, then the lanes of the chosen queue by the
weights of the priorities; within a lane the order is that of arrival.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from bridge.handling import Priority
from bridge.queues import WEIGHTS, Queue
from bridge.turns import Turns

AHEAD = 2
"""Deliveries of a lane that are held beyond those that may be handed out. With none, an urgent event that runs would
leave its lane empty at the moment of the next choice, and the turn would go to another priority."""


class Held(Protocol):
    """A delivery that is in hand."""

    @property
    def queue(self) -> str: ...
    @property
    def priority(self) -> Priority: ...


D = TypeVar("D", bound=Held)


def lane_prefetch(most: int, *, contended: bool) -> int:
    """Return how many deliveries of one lane to hold, of a queue of which at most `most` are handed out. `contended`:
    the queue has events of several priorities."""
    return most + min(most, AHEAD) if contended else most


class Hand(Generic[D]):
    """Deliveries in hand. `queues` are those that are declared, and `most` is the largest number of deliveries of each
    queue that are handed out and not settled. Both may change."""

    def __init__(self, queues: Mapping[str, Queue], most: Mapping[str, int]) -> None:
        self._queues = queues
        self._most = most
        self._lanes: dict[str, dict[Priority, deque[D]]] = {}
        self._counts: dict[str, int] = {}
        self._queue_turns = Turns[str](lambda name: queues[name].weight if name in queues else 1)
        self._lane_turns: dict[str, Turns[Priority]] = {}

    def __len__(self) -> int:
        return sum(self._counts.values())

    def __bool__(self) -> bool:
        return any(self._counts.values())

    def __iter__(self) -> Iterator[D]:
        """Iterate over the deliveries, those of a lane in their order."""
        for lanes in self._lanes.values():
            for lane in lanes.values():
                yield from lane

    def add(self, delivery: D) -> None:
        """Put a delivery at the end of its lane."""
        queue, priority = delivery.queue, delivery.priority
        lanes = self._lanes.get(queue)
        if lanes is None:
            lanes = self._lanes[queue] = {}
            self._counts[queue] = 0
        lane = lanes.get(priority)
        if lane is None:
            lane = lanes[priority] = deque()
        lane.append(delivery)
        self._counts[queue] += 1

    def remove(self, delivery: D) -> None:
        """Remove a delivery. Raise `ValueError` if it is not in hand."""
        lane = self._lanes.get(delivery.queue, {}).get(delivery.priority, deque())
        if delivery not in lane:
            raise ValueError("the delivery is not in hand")
        lane.remove(delivery)
        self._counts[delivery.queue] -= 1

    def next(self, handed_out: Mapping[str, int]) -> D | None:
        """Remove and return the delivery whose turn it is; None if there is none. `handed_out` has the number of
        deliveries of each queue that are handed out and not settled."""
        most = self._most
        ready = [
            queue for queue, count in self._counts.items() if count and handed_out.get(queue, 0) < most.get(queue, 0)
        ]
        if not ready:
            return None
        queue = ready[0] if len(ready) == 1 else self._queue_turns.next(ready)
        self._counts[queue] -= 1
        lanes = self._lanes[queue]
        if len(lanes) == 1:  # as long as all events of the queue have had one priority
            (lane,) = lanes.values()
            return lane.popleft()
        return lanes[self._priority(queue, lanes)].popleft()

    def _priority(self, queue: str, lanes: Mapping[Priority, deque[D]]) -> Priority:
        turns = self._lane_turns.get(queue)
        if turns is None:
            turns = self._lane_turns[queue] = Turns(WEIGHTS.__getitem__)
        return turns.next([each for each in WEIGHTS if lanes.get(each)])
