"""The pace: how many deliveries to hold beside those that run. Arithmetic only; the caller counts and keeps time.

To hold no more than there are slots is right for slow events: what is held here could run elsewhere, and is delivered
again when we are killed. For fast ones it leaves the slots idle for a round trip to the broker after each event. So a
worker begins with its slots, holds more while events fly, and lets go of them as soon as they do not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LOOKED_EVERY = 0.25
"""Seconds between two looks at how many events were finished."""

FAST = 50.0
SLOW = 20.0
"""Events per second and slot, above and below which a worker holds more, and no more. Between the two it stays as it
is, so that it does not waver."""

HELD_WHILE_FAST = 16
"""Deliveries held for each slot while events are fast: what a slot runs in the time of a few round trips."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Whether events are fast now."""

    fast: bool = False

    def after(self, finished: int, seconds: float, slots: int) -> "Pace":
        """Return the pace after so many slots have finished so many events in so many seconds."""
        rate = finished / seconds / slots
        return Pace(rate >= (SLOW if self.fast else FAST))

    def prefetch(self, rooms: Mapping[str, int], slots: int) -> dict[str, int]:
        """Return how many deliveries of each queue to hold. `rooms` says how many of each may be in flight: a queue
        that has fewer than all slots has them for a reason, and is never held beyond it."""
        factor = HELD_WHILE_FAST if self.fast else 1
        return {queue: room * factor if room >= slots else room for queue, room in rooms.items()}
