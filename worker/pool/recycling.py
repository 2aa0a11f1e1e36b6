"""When a child has served long enough. A decision only: the caller measures, and replaces it between two requests."""

from dataclasses import dataclass, replace

JITTER = 0.1
"""The share of a limit that chance may take off, so that children of one age do not all go at once."""


@dataclass(frozen=True, slots=True)
class Wear:
    """What a child has behind it: requests, seconds since it was ready, bytes of memory that are its own or shared."""

    requests: int
    age: float
    memory: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How much wear is enough; 0 sets no limit."""

    requests: int = 0
    age: float = 0.0
    memory: int = 0

    def for_one(self, chance: float) -> "Limits":
        """Return one child's own limits, for a `chance` from 0 to 1: at most `JITTER` under these. Memory has none:
        children grow at their own pace."""
        share = 1 - JITTER * chance
        requests = max(1, round(self.requests * share)) if self.requests else 0
        return replace(self, requests=requests, age=self.age * share)

    def reached(self, wear: Wear) -> str | None:
        """Say which limit is reached; None where none is."""
        if self.requests and wear.requests >= self.requests:
            return f"recycled after {wear.requests} requests"
        if self.age and wear.age >= self.age:
            return f"recycled after {wear.age:.1f} s"
        if self.memory and wear.memory >= self.memory:
            return f"recycled at {wear.memory / 1024**2:.0f} MiB"
        return None
