"""The broker's promise to consumers: deliveries, and their settlement.

A method that can fail names its errors; any other exception is a defect.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from bridge.envelope import Envelope
from bridge.handling import Priority
from bridge.ledger import Letter

DELIVERY_LIMIT = 100
"""Deliveries without a settlement (the worker died each time) after which an event becomes a dead letter."""


class Delivery(Protocol):
    """An envelope that the consumer holds. Its user calls exactly one of the four verbs, once.

    The verbs raise `DeliveryLost` if the connection that brought the delivery is gone (the broker delivers the event
    again), and `BrokerUnavailable` if the broker did not confirm the replacement: then the delivery is still held, and
    the verb may be called again.
    """

    @property
    def envelope(self) -> Envelope: ...

    @property
    def queue(self) -> str: ...

    @property
    def token(self) -> str:
        """An identity of the message: equal for all its deliveries to this process, and different for every other
        message."""

    @property
    def redelivered(self) -> bool:
        """True if the broker may have delivered this message before."""

    @property
    def lost(self) -> bool:
        """True if the connection that brought the delivery is gone, as far as is known: each verb would raise
        `DeliveryLost`."""

    async def ack(self) -> None:
        """Acknowledge the delivery: the broker deletes the event."""

    async def retry(self, envelope: Envelope, wait: timedelta) -> None:
        """Replace the delivery by this envelope in the same queue, due after `wait` by the broker's clock. Once the
        replacement is written, wait for its confirm as long as the connection lasts. In an ordered queue the event
        keeps its place, and no event after it is delivered before it has ended."""

    async def dead_letter(self, letter: Letter) -> None:
        """Replace the delivery by an entry in the ledger, and wait for its confirm as `retry` does."""

    async def give_back(self) -> None:
        """Return the event to its queue at once, for another worker."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts of a queue's events: `ready` to be taken, `held` by consumers, `waiting` until they are due.

    `by_priority` has those that are ready by the priority that they ask for; `normal` has those that ask for none too.

    On RabbitMQ, `held` counts only the deliveries of this process, and `waiting` counts the delayed events of all
    queues of the namespace, because the delay queues are shared.
    """

    ready: int
    held: int
    waiting: int
    by_priority: Mapping[Priority, int] = field(default_factory=dict, compare=False)


class Consumer(Protocol):
    """Takes deliveries from queues. It settles messages that are not events or cannot be read, and never hands them
    out. After a broken connection it reconnects by itself."""

    @property
    def live(self) -> Collection[str]:
        """The queues from which events are taken now, as far as is known: connected, subscribed, and not stopped. A
        queue with a prefetch of 0 counts while the consumer is connected."""

    @property
    def trouble(self) -> str:
        """The current or last reason why events cannot be taken or settled, for people; empty if there is none."""

    @property
    def held(self) -> Mapping[str, int]:
        """The number of unsettled deliveries of each queue that this consumer holds, handed out or not."""

    @property
    def breaks(self) -> int:
        """How often another connection has taken the place of the one that brings deliveries. It is counted before the
        first delivery of the new one: what others have told meanwhile may have been missed."""

    async def start(self, prefetch: Mapping[str, int]) -> None:
        """Start to take events. `prefetch` has the queues and the most unsettled deliveries of each at a time."""

    async def adjust(self, prefetch: Mapping[str, int]) -> None:
        """Change how many unsettled deliveries of each queue are held at most. If a number is smaller than before,
        deliveries that were not handed out yet return to their queue at once. If the broker is unreachable, the new
        numbers apply from the next connection."""

    async def receive(self) -> Delivery:
        """Return the next delivery, of any of the queues; wait for one. Among those that wait, queues take turns by
        their `weight`, and the events of a queue by their priority: low ones get their share beside urgent ones."""

    async def stop(self) -> None:
        """Stop taking events, and return deliveries that were not handed out to their queues. Deliveries that were
        handed out can still be settled."""

    async def backlog(self) -> Mapping[str, Backlog]:
        """Return the counts of each queue. Every event that is ready, or held by this process, is counted, so zeros
        mean that the queue is empty. Raise `BrokerUnavailable` if the broker does not answer."""

    async def close(self) -> None:
        """Close the connections. The broker delivers unsettled events again, to any consumer."""
