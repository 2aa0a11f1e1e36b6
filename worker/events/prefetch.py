"""The prefetch: how many deliveries of each queue to hold. Arithmetic only; the caller counts and keeps time.

For slow events, one delivery for each slot is right: another worker could run the events that this worker holds, and a
killed worker's deliveries are redelivered. For fast events, the slots would then be idle for a round trip to the broker
after each event. So a worker starts with one delivery for each slot, holds more while events are fast, the more the
faster they are, and returns to one when they are slow again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LOOKED_EVERY = 0.25
"""Seconds between two measurements of the pace."""

FAST = 50.0
SLOW = 20.0
"""Events per second and slot: a worker begins to hold more at `FAST`, and ends it below `SLOW`. In between nothing
changes, so that the prefetch does not flip back and forth."""

HELD_WHILE_FAST = 16
"""The most requests that are in flight in a slot, unless the setting `in_flight` says otherwise. While events are fast,
a worker holds a multiple of it, see `TIMES`."""

AHEAD_SECONDS = 0.03
"""Seconds for which a worker holds further deliveries: many round trips to the broker, some of which take long. They
are not in a slot yet."""

TIMES = (2, 4, 8)
"""How many times what may be in flight a worker holds. There are few steps, and a step down is taken late, because a
change costs: RabbitMQ fixes the prefetch of a consumer when it starts."""

MUCH_TOO_MANY = 4
"""A worker takes a step down when it holds this many times what it needs."""

HELD_FOR_A_CHOICE = 2
"""Deliveries held for each slot if queues have different weights: with one, a queue whose events fill the slots would
have none in hand when the next one is chosen."""


def rooms_of(own: Mapping[str, int | None], slots: int) -> dict[str, int]:
    """Return how many events of each queue may be in flight: its `own` slots (None: all), at most all `slots`."""
    return {queue: min(most or slots, slots) for queue, most in own.items()}


def limits_of(rooms: Mapping[str, int], slots: int) -> dict[str, int]:
    """Return the limits of the queues that may not fill all slots. The slots themselves limit the other queues."""
    return {queue: room for queue, room in rooms.items() if room < slots}


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of the events: fast or slow, and how many times what may be in flight to hold."""

    fast: bool = False
    times: int = 1

    def after(self, finished: int, seconds: float, slots: int, in_flight: int = HELD_WHILE_FAST) -> "Pace":
        """Return the next pace, after `slots` slots have finished `finished` events in `seconds` seconds. Of each slot,
        `in_flight` events may be in flight."""
        rate = finished / seconds / slots
        if rate < (SLOW if self.fast else FAST):
            return Pace()
        needed = 1 + rate * AHEAD_SECONDS / in_flight
        if needed <= self.times < needed * MUCH_TOO_MANY:
            return Pace(True, self.times)
        return Pace(True, next((times for times in TIMES if times >= needed), TIMES[-1]))

    def prefetch(
        self, rooms: dict[str, int], slots: int, *, weighted: bool = False, held_while_fast: int = HELD_WHILE_FAST
    ) -> dict[str, int]:
        """Return how many deliveries of each queue to hold. `rooms` has how many events of each queue may be in
        flight. A queue that may not fill all slots gets no more than that: its deliveries would only wait at the
        gate. `weighted`: the queues have different weights."""
        factor = held_while_fast * self.times if self.fast else HELD_FOR_A_CHOICE if weighted else 1
        return rooms | {queue: room * factor for queue, room in rooms.items() if room >= slots}
