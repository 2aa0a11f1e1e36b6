"""The deadline of an operation. It is made once from a budget and handed on unchanged, so that no layer has to subtract
the seconds that it used. Pure: the caller passes a reading of `time.monotonic()` in.
"""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Deadline:
    """`at` is a time of the monotonic clock. `budget` is the number of seconds that it was made from, for messages."""

    at: float
    budget: float

    @classmethod
    def after(cls, budget: float, now: float) -> Self:
        """Return the deadline that is `budget` seconds after `now`."""
        return cls(now + budget, budget)

    def remaining(self, now: float) -> float:
        """Return the remaining seconds, at least 0."""
        return max(self.at - now, 0.0)

    def expired(self, now: float) -> bool:
        """Return whether no time remains."""
        return now >= self.at

    def reserving(self, share: float, at_most: float, now: float) -> Self:
        """Return an earlier deadline, which reserves time for a second step: `share` of the remaining time, but at most
        `at_most` seconds."""
        reserve = min(self.remaining(now) * share, at_most)
        return type(self)(self.at - reserve, self.budget - reserve)

    def at_least(self, seconds: float, now: float) -> Self:
        """Return this deadline, or a later one that leaves `seconds` if less than that remains."""
        return self if self.remaining(now) >= seconds else self.after(seconds, now)
