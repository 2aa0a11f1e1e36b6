"""Rates of events: how many may begin in a time, for a whole site, and the share of one worker. Pure: the caller passes
the time, in seconds of a monotonic clock.
"""

from dataclasses import dataclass, replace

from bridge.rate import Rate

FIRST_SECONDS = 10.0
"""The longest wait of the first event after a worker's start. Without it, a worker with a rate of one event an hour
would wait an hour."""

_ALMOST = 1e-9
"""The error of a sum of floats."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of a queue for the whole site: its rate, and how many events may begin at once after a pause."""

    rate: Rate
    burst: int = 1


@dataclass(frozen=True, slots=True)
class Bucket:
    """A worker's share of a rate, as a bucket of tokens. Each event takes one when it begins. `rate` is in tokens a
    second, and `tokens` is the content at the time `at`."""

    rate: float
    capacity: float
    tokens: float
    at: float

    @classmethod
    def of(cls, limit: Limit, workers: int, now: float) -> "Bucket":
        """Return the bucket of a worker that has just started, one of so many that share the rate."""
        empty = cls(0.0, 0.0, 0.0, now).shared(limit, workers, now)
        return replace(empty, tokens=max(0.0, 1 - empty.rate * FIRST_SECONDS))

    def shared(self, limit: Limit, workers: int, now: float) -> "Bucket":
        """Return the bucket when so many workers share the rate. The burst of a worker is at least one event."""
        capacity = max(limit.burst / workers, 1.0)
        tokens = min(self._content(now), capacity)
        return Bucket(limit.rate.per_second / workers, capacity, tokens, now)

    def taken(self, now: float) -> "Bucket":
        """Return the bucket after an event has begun."""
        return replace(self, tokens=self._content(now) - 1, at=now)

    def wait(self, now: float, promised: int = 0) -> float:
        """Return the seconds until an event may begin, if this many tokens are promised to others before it."""
        missing = 1 + promised - self._content(now)
        return missing / self.rate if missing > _ALMOST else 0.0

    def _content(self, now: float) -> float:
        return min(self.tokens + self.rate * max(now - self.at, 0.0), self.capacity)


BEAT_SECONDS = 1.0
GONE_SECONDS = 5.0
"""A worker that was not heard of for this long is gone, and the others share its part."""

LEARN_SECONDS = 2.0
"""The time from a worker's first beat until it takes its share. Meanwhile the others notice it."""


@dataclass(frozen=True, slots=True)
class Sharers:
    """The workers that share the rates of queues, as one worker hears of them by their beats. `heard` has, by worker,
    the queues and the time of the last beat."""

    own: str
    heard: tuple[tuple[str, frozenset[str], float], ...] = ()
    since: float | None = None
    """The time at which this worker first heard itself: then the others hear it too."""

    def after_beat(self, worker: str, queues: frozenset[str], now: float) -> "Sharers":
        """Return the sharers after a beat of a worker."""
        others = tuple(each for each in self.heard if each[0] != worker)
        since = now if self.since is None and worker == self.own else self.since
        return replace(self, heard=(*others, (worker, queues, now)), since=since)

    def after_goodbye(self, worker: str) -> "Sharers":
        """Return the sharers after a worker has said that it stops."""
        return replace(self, heard=tuple(each for each in self.heard if each[0] != worker))

    def count(self, queue: str, now: float) -> int | None:
        """Return how many workers share a queue's rate, None as long as that is not known. While this worker does not
        hear itself, it cannot hear the others, so none of them counts as gone."""
        if self.since is None or now - self.since < LEARN_SECONDS:
            return None
        own_last = max((at for worker, _, at in self.heard if worker == self.own), default=0.0)
        oldest = min(now, own_last) - GONE_SECONDS
        return max(sum(queue in queues and at >= oldest for _, queues, at in self.heard), 1)
