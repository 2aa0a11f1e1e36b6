"""The promise of a broker that can be emptied: its events are taken out one batch at a time, to be put into another
broker. Only the broker in a file can.

An event that was taken is held: no consumer gets it. It is deleted by `remove`, after the other broker has confirmed
it. If this process is killed before that, the event is free again. No method counts as a delivery of an event.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bridge.envelope import Envelope


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """An event that this process holds. `queue` is empty for an event that is routed by its name when it is due. `due`
    is None for an event that is due now. `ordered`: its queue is an ordered one."""

    number: int
    envelope: Envelope
    queue: str
    due: datetime | None
    ordered: bool


@dataclass(frozen=True, slots=True)
class Catch:
    """The events that were taken. `consumers` is the number of living consumers, while which nothing is taken. `waits`
    has the ordered queues whose first event waits for its retry, and that time: nothing of them is taken before."""

    events: Sequence[HeldEvent]
    consumers: int
    waits: Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class Stock:
    """The counts of what the broker has. `due` has the events of each queue that are to be run now, and `retries` those
    that wait for their time in their queue. `delayed` are the events that are routed by their name when they are due.
    `messages` has the messages of each mailbox. `consumers` is the number of living consumers, and `in_hand` that of
    the events that they hold."""

    due: Mapping[str, int]
    retries: Mapping[str, int]
    delayed: int
    messages: Mapping[str, int]
    consumers: int
    in_hand: int

    @property
    def queues(self) -> frozenset[str]:
        """The queues that have events."""
        return frozenset(self.due) | frozenset(self.retries)

    @property
    def events(self) -> int:
        """The number of all events."""
        return sum(self.due.values()) + sum(self.retries.values()) + self.delayed


class Emptying(Protocol):
    """Takes events out of a broker. Every method raises `BrokerUnavailable` or `BrokerRefused` if it cannot be used."""

    async def stock(self) -> Stock:
        """Count what the broker has. It changes nothing."""

    async def hold(self, most: int, ordered: Collection[str], without: Collection[str] = ()) -> Catch:
        """Take the next events, at most `most` and some megabytes of them: those that are due first, each lane in its
        order, then those that wait. The events of an `ordered` queue are taken in its order. Nothing is taken of the
        queues `without`; the empty name is that of the events that are not routed yet. An event that cannot be read
        becomes a dead letter here."""

    async def remove(self, events: Collection[HeldEvent]) -> None:
        """Delete events that are held, for good."""

    async def release(self, events: Collection[HeldEvent]) -> None:
        """Give events that are held back to their queues, to their places."""

    async def close(self) -> None:
        """Give all events back that are still held; a second call does nothing."""
