"""Recycling: decide when a child has served long enough. The caller measures the child, and replaces it between two
requests."""

from dataclasses import dataclass, replace

JITTER = 0.1
"""The share of a limit that chance may take off, so that children of the same age are not all replaced at once."""


@dataclass(frozen=True, slots=True)
class Wear:
    """The work that a child has done: requests, seconds since it was ready, bytes of resident memory (shared ones
    included)."""

    requests: int
    age: float
    memory: int


@dataclass(frozen=True, slots=True)
class RecyclingLimits:
    """The wear at which a child is replaced; 0 sets no limit."""

    requests: int = 0
    age: float = 0.0
    memory: int = 0

    def for_one(self, chance: float) -> "RecyclingLimits":
        """Return one child's own limits, for a `chance` from 0 to 1: up to `JITTER` lower than these. The memory limit
        stays the same, because children grow at different speeds anyway."""
        share = 1 - JITTER * chance
        requests = max(1, round(self.requests * share)) if self.requests else 0
        return replace(self, requests=requests, age=self.age * share)

    def reached(self, wear: Wear) -> str | None:
        """Return which limit is reached, in words; None if no limit is."""
        if self.requests and wear.requests >= self.requests:
            return f"recycled after {wear.requests} requests"
        if self.age and wear.age >= self.age:
            return f"recycled after {wear.age:.1f} s"
        if self.memory and wear.memory >= self.memory:
            return f"recycled at {wear.memory / 1024**2:.0f} MiB"
        return None
