"""How often somebody may try to sign in: by address, and by name, in each process."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from time import monotonic

from bridge.rates import Bucket

TRIES_AT_ONCE = 5
SECONDS_A_TRY = 6.0
"""After some tries at once, one is allowed every six seconds: 14,400 a day, too few to guess a password."""

MOST_KEPT = 10_000
"""The most addresses and names that are remembered. The ones that tried least recently are forgotten."""


class SignInLimits:
    """The tries of this process, by address and by name."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    def wait(self, address: str, name: str) -> float:
        """Count a try. Return 0 if it is allowed, else the seconds until the next one is."""
        now = self._clock()
        keys = (("address", address), ("name", name))
        with self._lock:
            wait = max(self._bucket(key, now).wait(now) for key in keys)
            if not wait:
                self._keep((key, self._bucket(key, now).taken(now)) for key in keys)
        return wait

    def give_back(self, address: str, name: str) -> None:
        """Take back a try that was no wrong one, so that people behind one address do not hinder each other."""
        now = self._clock()
        with self._lock:
            for key in (("address", address), ("name", name)):
                bucket = self._bucket(key, now)
                self._keep([(key, replace(bucket, tokens=min(bucket.tokens + 1, bucket.capacity)))])

    def _bucket(self, key: tuple[str, str], now: float) -> Bucket:
        return self._buckets.get(key) or Bucket(1 / SECONDS_A_TRY, TRIES_AT_ONCE, TRIES_AT_ONCE, now)

    def _keep(self, buckets: Iterable[tuple[tuple[str, str], Bucket]]) -> None:
        for key, bucket in buckets:
            self._buckets[key] = bucket
            self._buckets.move_to_end(key)
        while len(self._buckets) > MOST_KEPT:
            self._buckets.popitem(last=False)
