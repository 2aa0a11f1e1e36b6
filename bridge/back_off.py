"""The wait before a failed action is retried. Arithmetic only: the caller waits and passes the random number in.

Connections to RabbitMQ use tenacity with the same formula, in `bridge/brokers/rabbitmq/connection/connecting.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

_DOUBLINGS = 60
"""The limit of the exponent, because a float overflows above some 1,000. Every back-off has reached its longest wait
after this many doublings."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """Waits that double with each consecutive failure, from `first` to `at_most` seconds. A random part of each wait,
    up to the share `jitter` (0 to 1), is taken off, so that clients that failed together do not retry together."""

    first: float
    at_most: float
    jitter: float = 0.5

    def wait(self, failures: int, chance: float) -> float:
        """Return the seconds to wait after this many consecutive failures (at least 1). `chance` is from 0 to 1."""
        longest = min(self.first * 2.0 ** min(failures - 1, _DOUBLINGS), self.at_most)
        return longest * (1 - self.jitter * chance)

    def waits(self, chance: Callable[[], float]) -> Iterator[float]:
        """Yield the seconds to wait before each retry, without end. `chance` returns random numbers from 0 to 1."""
        return (self.wait(failures, chance()) for failures in count(1))
