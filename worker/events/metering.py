"""The metered queues of a worker: those with a rate or with slots for the whole site. It keeps what the gate's terms
need, and says how many deliveries to hold.

An event that has passed the gate waits for a slot, and begins later. A token is taken when the event begins, and is
promised to it before, so that the rate holds for what runs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil

from bridge.queues import Queue
from bridge.rates import Bucket, Limit

LOOK_AHEAD = 0.5
"""Seconds for which events are held at the gate, so that a token does not wait for the broker."""


@dataclass(slots=True)
class Meter:
    """The state of the metered queues. `buckets` has a queue's share of its rate, None as long as it is not known.
    `site_slots` has how many slots of the whole site this worker has. `promised` counts the tokens of events in line.
    """

    limits: Mapping[str, Limit] = field(default_factory=dict)
    buckets: dict[str, Bucket | None] = field(default_factory=dict)
    site_slots: dict[str, int] = field(default_factory=dict)
    _in_line: dict[str, set[str]] = field(default_factory=dict)
    queues: frozenset[str] = field(init=False)
    """The metered queues."""

    def __post_init__(self) -> None:
        self.queues = frozenset({*self.limits, *self.site_slots})

    @classmethod
    def of(cls, queues: Iterable[Queue]) -> "Meter":
        """Return the meter of a worker of these queues, at its start."""
        queues = tuple(queues)
        limits = {queue.name: Limit(queue.rate, queue.burst) for queue in queues if queue.rate is not None}
        slots = {queue.name: 0 for queue in queues if queue.site_slots is not None}
        return cls(limits, dict.fromkeys(limits), slots, {name: set() for name in limits})

    @property
    def promised(self) -> Mapping[str, int]:
        """The number of events of each queue that have passed the gate and have not begun."""
        return {queue: len(tokens) for queue, tokens in self._in_line.items()} if self._in_line else {}

    def share(self, queue: str, workers: int | None, now: float) -> None:
        """Set how many workers share the rate of a queue; None: not known yet."""
        bucket, limit = self.buckets[queue], self.limits[queue]
        if workers is not None:
            self.buckets[queue] = (
                Bucket.of(limit, workers, now) if bucket is None else bucket.shared(limit, workers, now)
            )

    def passed(self, queue: str, token: str) -> None:
        """Note that an event has passed the gate."""
        if queue in self._in_line:
            self._in_line[queue].add(token)

    def begun(self, queue: str, token: str, now: float) -> None:
        """Note that an event begins in a slot."""
        if queue not in self.limits:
            return
        self.left(queue, token)
        if (bucket := self.buckets.get(queue)) is not None:
            self.buckets[queue] = bucket.taken(now)

    def left(self, queue: str, token: str) -> None:
        """Note that an event does not wait in line any more."""
        if queue in self._in_line:
            self._in_line[queue].discard(token)

    def rooms(self, rooms: Mapping[str, int]) -> dict[str, int]:
        """Return how many events of each queue may be in flight, at most the slots of the site that this worker has."""
        return {queue: min(room, self.site_slots.get(queue, room)) for queue, room in rooms.items()}

    def prefetch(
        self, prefetch: Mapping[str, int], rooms: Mapping[str, int], begun: Mapping[str, int]
    ) -> dict[str, int]:
        """Return how many deliveries of each queue to hold. A queue with a rate gets one for each event that runs, and
        a few that can begin soon. The number is a power of two: each change of it starts and ends a consumer."""
        return {queue: self._held(queue, most, rooms[queue], begun) for queue, most in prefetch.items()}

    def _held(self, queue: str, most: int, room: int, begun: Mapping[str, int]) -> int:
        bucket = self.buckets.get(queue)
        if queue not in self.limits:
            return min(most, room) if queue in self.site_slots else most
        ahead = 1 if bucket is None else max(ceil(bucket.rate * LOOK_AHEAD), 1)
        wanted = begun.get(queue, 0) + ahead
        return min(1 << (wanted - 1).bit_length(), room)
