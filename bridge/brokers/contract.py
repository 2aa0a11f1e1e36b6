"""What a broker promises, whichever it is. One suite of tests holds both to it (`tests/contract`).

Times: `due` is a moment by this machine's clock; nothing is delivered before it by the broker's. A method that can
fail says with what; anything else that it raises is a defect.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from bridge.envelope import Envelope
from bridge.event import Event
from bridge.ledger import Entry, Letter
from bridge.queues import Queue

WITHIN = 10.0
"""Seconds that a publish may take where nobody says otherwise, the publishes behind a settlement included."""


DELIVERY_LIMIT = 100
"""After so many deliveries without a settlement (each ended with its worker), an event is a dead letter."""


class Publisher(Protocol):
    """Puts events on their way. When a method returns, the broker has the event durably."""

    async def publish(self, event: Event, due: datetime | None = None, *, within: float = WITHIN) -> None:
        """Publish to every queue that takes the event's name, now or when it is due, within so many seconds.

        Raise `Unroutable` where none does (an event that is not due yet is routed when it is), `TooLarge` where the
        broker takes nothing so large, `DeferRejected` where it said no, `PartlyRejected` where it said no for one of
        several queues, and where the time is over `BrokerUnavailable` (certainly nothing was published) or
        `DeferUnconfirmed` (it may have been). It waits for a broker that is away, and tries again after a connection
        that broke, as long as there is time. Cancelled, it withdraws what was not written yet.
        """

    async def put(self, envelope: Envelope, queue: str, due: datetime | None = None, *, within: float = WITHIN) -> None:
        """Put an envelope into one queue, now or when it is due, within so many seconds. Raises what `publish`
        raises; `Unroutable` where there is no such queue."""

    async def close(self) -> None:
        """Close it; twice is as good as once."""


class Delivery(Protocol):
    """An envelope held from a queue. Exactly one of its four verbs is called, once.

    The verbs raise `DeliveryLost` where the connection that brought it is gone (it comes again), and
    `BrokerUnavailable` where the broker could not confirm what takes its place: then it is still held, and the verb
    may be called again.
    """

    @property
    def envelope(self) -> Envelope: ...

    @property
    def queue(self) -> str: ...

    @property
    def token(self) -> str:
        """The same for every delivery of one message, and for no other message."""

    @property
    def redelivered(self) -> bool:
        """Whether the broker may have delivered this message before."""

    async def ack(self) -> None:
        """It is done with."""

    async def retry(self, envelope: Envelope, wait: timedelta) -> None:
        """Replace it by this envelope in the same queue, not before so long from now by the broker's clock. What is
        written is waited for as long as the connection lasts."""

    async def dead_letter(self, letter: Letter) -> None:
        """Replace it by an entry in the ledger, which is waited for as long."""

    async def give_back(self) -> None:
        """Let another worker have it at once."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a queue holds: `ready` to be taken, `held` unsettled, `waiting` for its time.

    What a broker cannot tell apart it says generously or not at all: RabbitMQ knows of `held` only what this process
    holds, and its delays are shared, so that `waiting` is what waits for any queue of the namespace.
    """

    ready: int
    held: int
    waiting: int


class Consumer(Protocol):
    """Takes deliveries from queues. Messages that are no events, or unreadable, it settles itself and never
    hands out. It comes back by itself after a broken connection."""

    @property
    def live(self) -> Collection[str]:
        """The queues that it takes from now, as far as it knows: connected, subscribed, and not stopped."""

    @property
    def trouble(self) -> str:
        """What keeps it from taking or settling, or kept it last; for people. Empty where nothing does."""

    async def start(self, prefetch: Mapping[str, int]) -> None:
        """Begin to take from these queues, at most so many unsettled deliveries of each at a time."""

    async def adjust(self, prefetch: Mapping[str, int]) -> None:
        """From now on, hold at most so many of each queue. Where less is to be held than before, what was fetched and
        not handed out goes back at once. Where the broker cannot be told now, it is told when it can."""

    async def receive(self) -> Delivery:
        """Return the next delivery, of any of the queues; wait for one."""

    async def stop(self) -> None:
        """Take nothing more, and give back what was fetched and not handed out. What was handed out can still be
        settled."""

    async def backlog(self) -> Mapping[str, Backlog]:
        """Return what each queue holds now. Nothing that is ready, or held here, is left out, so that all zero means
        empty. Raise `BrokerUnavailable` where the broker cannot be asked."""

    async def close(self) -> None:
        """Close it; what is not settled is delivered again, to anyone."""


class Decisions(Protocol):
    """The right to decide about dead letters, held by one at a time."""

    async def redrive(self, number: int, envelope: Envelope, queue: str, actor: str, note: str) -> None:
        """Put the envelope into its queue and record it, in this order. Raises what `Publisher.put` raises."""

    async def discard(self, number: int, actor: str, note: str) -> None:
        """Record that the letter is let go."""


class Ledger(Protocol):
    """The append-only record of dead letters. Reading changes nothing, and any number may read at once."""

    def entries(self) -> AsyncIterator[Entry]:
        """Yield all entries there are now, oldest first, without bodies and transcripts."""

    async def letter(self, number: int) -> Letter | None:
        """Return one dead letter whole; None where the ledger holds none of this number."""

    def deciding(self) -> AbstractAsyncContextManager[Decisions]:
        """Hold the exclusive right to decide. Raise `BrokerRefused` at once where somebody else holds it, naming it
        as well as the broker knows. Entries must be read again inside: another may have decided before."""

    async def close(self) -> None:
        """Close it; twice is as good as once."""


ConnectionState = Literal["down", "connecting", "up", "blocked"]


class Broker(Protocol):
    """A broker as one process uses it: connections are made at first use."""

    @property
    def name(self) -> str:
        """What it is and where, for people: no password in it."""

    async def declare(self, queues: Sequence[Queue]) -> None:
        """Make the queues be there, with their patterns; whoever comes first declares them. Raise
        `BrokerUnavailable`, or `BrokerRefused` where something of the name exists and differs."""

    def publisher(self) -> Publisher: ...

    def consumer(self) -> Consumer: ...

    def ledger(self) -> Ledger: ...

    async def close(self) -> None:
        """Close every connection."""
