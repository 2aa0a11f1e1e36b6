"""How many events each client may send in this process."""

import math
import threading
import time
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from app_adapter.ingress.access import Client
from app_adapter.ingress.problems import Problem
from bridge.rates import Bucket


@dataclass(slots=True)
class RateLimits:
    """The buckets of the clients of this process, by their names."""

    _buckets: dict[str, Bucket] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, client: Client, events: int) -> None:
        """Take so many events from a client. Raise `Problem` 429 if its rate does not allow them now.

        More events than the burst need a full bucket, and those that come after them wait the longer.
        """
        limit = client.limit
        if limit is None or not events:
            return
        now = time.monotonic()
        with self._lock:
            full = Bucket(limit.rate.per_second, limit.burst, limit.burst, now)
            bucket = self._buckets.get(client.name, full)
            wait = bucket.wait(now, min(events, limit.burst) - 1)
            if not wait:
                after = bucket.taken(now)
                self._buckets[client.name] = replace(after, tokens=after.tokens - (events - 1))
        if wait:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"token {client.name!r}: expected at most {limit.rate} events, and {limit.burst} at once",
                {"Retry-After": str(math.ceil(wait))},
            )
