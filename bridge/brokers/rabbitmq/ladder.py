"""The arithmetic of the delay ladder: which level a delay starts at, and under which routing key. Pure.

A delay is a sum of powers of two seconds. Level L holds every message for 2^L seconds and hands it to the next lower
level; the routing key spells the delay in bits, and a level whose bit is 0 is passed by at once. So every queue has
one time to live, and nothing waits behind something that waits longer.
"""

from dataclasses import dataclass
from datetime import timedelta
from math import ceil

LEVELS = 20
LONGEST = 2**LEVELS - 1
"""Seconds, some 12 days. What is due later is parked this long, and looked at again when it arrives."""

SIGNIFICANT_BITS = 4


@dataclass(frozen=True, slots=True)
class Climb:
    """Where a message enters the ladder. `parked` tells that it will leave the ladder before it is due."""

    level: int
    routing_key: str
    parked: bool


def climb(wait: timedelta, destination: str, *, exact: bool) -> Climb | None:
    """Return where to enter for being at `destination` after this wait; None where there is nothing to wait for.

    Never early: seconds are rounded up, and unless `exact` to 4 significant bits, which is at most 12.5 % late and
    takes at most four levels.
    """
    seconds = ceil(wait / timedelta(seconds=1))
    if seconds <= 0:
        return None
    rounded = seconds if exact else rounded_up(seconds)
    asked = min(rounded, LONGEST)
    return Climb(asked.bit_length() - 1, f"{bits(asked)}.{destination}", parked=seconds > LONGEST)


def rounded_up(seconds: int) -> int:
    """Return the least number, not below `seconds`, that has at most 4 significant bits."""
    surplus = max(seconds.bit_length() - SIGNIFICANT_BITS, 0)
    return -(-seconds >> surplus) << surplus


def bits(seconds: int) -> str:
    """Return the delay as the routing key spells it: one dotted bit a level, the highest first."""
    return ".".join(format(seconds, f"0{LEVELS}b"))


def destination(routing_key: str) -> str | None:
    """Return where a message was bound for that had this routing key on the ladder; None for any other key."""
    words = routing_key.split(".", LEVELS)
    if len(words) != LEVELS + 1 or not set(words[:LEVELS]) <= {"0", "1"}:
        return None
    return words[LEVELS]


def to_queue(queue: str) -> str:
    """Return the destination that is one queue."""
    return f"q.{queue}"


def to_event(name: str) -> str:
    """Return the destination that is whatever queues take the event when it is due."""
    return f"e.{name}"
