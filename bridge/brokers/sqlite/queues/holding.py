"""Counts the events that a consumer holds, and decides how many more of each lane it may take. No I/O."""

from collections import Counter
from collections.abc import Mapping

from bridge.brokers.any_broker.hand import lane_prefetch
from bridge.brokers.sqlite.queues.delivery import SqliteDelivery
from bridge.brokers.sqlite.queues.lanes import LANES, lane_name
from bridge.handling import Priority
from bridge.queues import Queue


class Holding:
    """The deliveries that a consumer holds, by lane. `prefetch` has the most deliveries of each queue that are handed
    out; `set_prefetch` changes it."""

    def __init__(self, declared: Mapping[str, Queue]) -> None:
        self.prefetch: dict[str, int] = {}
        self.handed_out: Counter[str] = Counter()
        """By queue: the deliveries that are handed out and not settled."""
        self.most: dict[str, int] = {}
        """By lane: the most events to hold."""
        self._declared = declared
        self._held: Counter[str] = Counter()
        self._contended: set[str] = set()
        self._dry: set[str] = set()

    def set_prefetch(self, prefetch: Mapping[str, int]) -> None:
        """Change the prefetch of these queues."""
        self.prefetch.update(prefetch)
        self._measure()

    def is_ordered(self, queue: str) -> bool:
        """Return True if the queue is an ordered one. It has one lane."""
        return queue in self._declared and self._declared[queue].ordered

    def rooms(self) -> dict[str, int]:
        """Return how many more events of each lane may be taken; full lanes are left out."""
        held = self._held
        return {lane: room for lane, most in self.most.items() if (room := most - held.get(lane, 0)) > 0}

    def wants(self, lane: str, *, at_all: bool) -> bool:
        """Return True if the last look may have left events in this lane, and a quarter or more of what may be held of
        it is not held; with `at_all`, anything of it."""
        most = self.most.get(lane, 0)
        free = most - self._held.get(lane, 0)
        return lane not in self._dry and (free > 0 if at_all else free * 4 >= most)

    def note_look(self, rooms: Mapping[str, int], taken: Mapping[str, int]) -> None:
        """Remember in which lanes the last look has found fewer events than it had room for, and forget those of the
        look before."""
        self._dry = {lane for lane, room in rooms.items() if taken.get(lane, 0) < room}

    def reserve(self, rooms: Mapping[str, int], sign: int) -> None:
        """Count rooms as held while a look is under way, which may fill them (1), or no more (-1)."""
        for lane, room in rooms.items():
            self._held[lane] = self._held.get(lane, 0) + sign * room

    def hold(self, delivery: SqliteDelivery) -> bool:
        """Count a delivery, unless it counts already. Return True if its queue has its first event of high or low
        priority: more events of its lanes may be held from now on."""
        if delivery.held:
            return False
        delivery.held = True
        self._held[delivery.lane] += 1
        if delivery.handed_out:
            self.handed_out[delivery.queue] += 1
        if delivery.lane == delivery.queue or delivery.queue in self._contended:
            return False
        self._contended.add(delivery.queue)
        self._measure()
        return True

    def hand_out(self, delivery: SqliteDelivery) -> None:
        """Count a held delivery as handed out."""
        delivery.handed_out = True
        self.handed_out[delivery.queue] += 1

    def let_go(self, delivery: SqliteDelivery) -> None:
        """Stop counting a delivery, unless it does not count any more."""
        if not delivery.held:
            return
        delivery.held = False
        self._held[delivery.lane] -= 1
        if delivery.handed_out:
            self.handed_out[delivery.queue] -= 1

    def surplus(self, rooms: Mapping[str, int]) -> Counter[str]:
        """Return by how much each lane holds more than its room."""
        return Counter({lane: held - rooms.get(lane, 0) for lane, held in self._held.items()})

    def _measure(self) -> None:
        ordered = {queue for queue in self.prefetch if self.is_ordered(queue)}
        self.most = {
            lane_name(queue, lane): lane_prefetch(
                most, contended=lane is not Priority.NORMAL or queue in self._contended
            )
            for queue, most in self.prefetch.items()
            if queue not in ordered
            for lane in LANES
        } | {queue: min(self.prefetch[queue], 1) for queue in ordered}
