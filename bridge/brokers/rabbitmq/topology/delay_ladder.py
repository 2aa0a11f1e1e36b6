"""The arithmetic of the delay ladder: the level at which a delay starts, and its routing key. Pure.

A delay is a sum of powers of two seconds. Level L holds every message for 2^L seconds and passes it to the next lower
level. The routing key has the delay in bits, and a message skips the levels whose bit is 0. So each queue of the ladder
has one time to live, and no message waits for another one that waits longer.
"""

from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from bridge.handling import Priority

LEVELS = 20
LONGEST = 2**LEVELS - 1
"""Seconds, some 12 days. An event that is due later waits this long, and then starts again with the remaining time."""

SIGNIFICANT_BITS = 4

_EVENT_OF = {Priority.NORMAL: "e.", Priority.HIGH: "h.", Priority.LOW: "l."}
"""The beginning of the destination of an event of each priority."""


@dataclass(frozen=True, slots=True)
class Climb:
    """The entry of a message to the ladder."""

    level: int
    routing_key: str


def climb(wait: timedelta, destination: str, *, exact: bool) -> Climb | None:
    """Return the entry that leads to `destination` after this wait; None if there is nothing to wait for.

    A message is never early: seconds are rounded up. Unless `exact`, they are rounded up to 4 significant bits, which
    is at most 12.5 % late and takes at most four levels.
    """
    seconds = ceil(wait / timedelta(seconds=1))
    if seconds <= 0:
        return None
    rounded = seconds if exact else rounded_up(seconds)
    asked = min(rounded, LONGEST)
    return Climb(asked.bit_length() - 1, f"{bits(asked)}.{destination}")


def rounded_up(seconds: int) -> int:
    """Return the least number, not below `seconds`, that has at most 4 significant bits."""
    surplus = max(seconds.bit_length() - SIGNIFICANT_BITS, 0)
    return -(-seconds >> surplus) << surplus


def bits(seconds: int) -> str:
    """Return the delay as the beginning of a routing key: one bit for each level, the highest first, with dots."""
    return ".".join(format(seconds, f"0{LEVELS}b"))


def destination(routing_key: str) -> str | None:
    """Return the destination in a routing key of the ladder; None for any other routing key."""
    words = routing_key.split(".", LEVELS)
    if len(words) != LEVELS + 1 or not set(words[:LEVELS]) <= {"0", "1"}:
        return None
    return words[LEVELS]


def to_queue(queue: str, lane: Priority) -> str:
    """Return the destination for one lane of a queue."""
    return f"q.{queue}" if lane is Priority.NORMAL else f"q.{queue}.{lane.value}"


def to_event(name: str, lane: Priority) -> str:
    """Return the destination for this lane of all queues that take the event at the time when it is due."""
    return f"{_EVENT_OF[lane]}{name}"


def event_in(destination: str) -> str | None:
    """Return the event's name in a destination; None in that of a queue."""
    return destination[2:] if destination.startswith(tuple(_EVENT_OF.values())) else None
