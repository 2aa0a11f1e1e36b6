"""A publisher that needs nothing beforehand: the broker is opened and its queues are declared at the first event, and
declared again after a failure. It publishes within a budget, and knows nothing of who waits, nor of a spool.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from bridge.brokers.contract import WITHIN, Broker, Publisher
from bridge.envelope import Envelope
from bridge.errors import (
    BridgeError,
    BrokerRefused,
    BrokerUnavailable,
    DeferError,
    DeferRejected,
    DeferUnconfirmed,
    PartlyRejected,
    TooLarge,
    Unroutable,
)
from bridge.event import Event
from bridge.queues import Queue, route

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


class DeclaredPublisher:
    """One broker, its declared queues, and one publisher, on one event loop."""

    closing = 0.5
    """Seconds that `close()` may take at the end of a process."""

    def __init__(self, opener: Callable[[], Broker], queues: tuple[Queue, ...]) -> None:
        self._opener = opener
        self._queues = queues
        self._broker: Broker | None = None
        self._publisher: Publisher | None = None
        self._declaring: asyncio.Task[Publisher] | None = None
        self._waiting = 0
        self._why_not = ""

    @property
    def name(self) -> str:
        """What the broker is, for people."""
        return "the broker" if self._broker is None else self._broker.name

    async def ready(self, within: float) -> None:
        """Return when the queues are there. Raise `BrokerUnavailable` after so many seconds, or at once where waiting
        would not help; nothing was published."""
        await self._declared(within)

    async def publish(self, event: Event, due: datetime | None = None, *, within: float = WITHIN) -> None:
        """Publish within so many seconds, what must be declared included. Raises what `Publisher.publish` raises."""
        deadline = time.monotonic() + within
        publisher = await self._declared(within)
        try:
            await publisher.publish(event, due, within=max(deadline - time.monotonic(), 0.0))
        except DeferError as error:
            if not isinstance(error, Unroutable | TooLarge | PartlyRejected):
                self._declaring = None
            raise
        except Exception as error:
            # A defect, and no telling how far it came: nobody must take the event for unpublished.
            self._declaring = None
            message = f"publishing event {event.id} broke: {type(error).__name__}: {error}: it may still run"
            raise DeferUnconfirmed(event.id, message) from error

    async def put_into_each(self, event: Event, due: datetime | None, taken: set[str], *, within: float) -> None:
        """Put it into each of its queues by itself, within so many seconds each, but those in `taken`, where those that
        have confirmed it are noted. Raise what `Publisher.put` raises; `DeferRejected` when all others have it, or
        where these settings know no queue for it."""
        publisher = await self._declared(within)
        envelope = Envelope(event, round_began=due or event.time)
        queues = route(self._queues, event.name)
        rejection = None if queues else DeferRejected(f"event {event.id}: no queue for {event.name!r} is known here")
        for queue in queues:
            if queue in taken:
                continue
            try:
                await publisher.put(envelope, queue, due, within=within)
            except DeferRejected as error:
                rejection = error
            else:
                taken.add(queue)
        if rejection is not None:
            raise rejection

    async def close(self) -> None:
        """Close the broker."""
        if self._broker is not None:
            await self._broker.close()

    async def _declared(self, within: float) -> Publisher:
        if self._declaring is None or _failed(self._declaring):
            self._declaring = asyncio.create_task(self._declare())
            self._declaring.add_done_callback(_failed)  # all who waited may be gone by then, and nobody else asks
        declaring = self._declaring
        if not declaring.done():
            self._waiting += 1
            try:
                await asyncio.wait([declaring], timeout=max(within, 0.0))
            finally:
                self._waiting -= 1
        if within <= 0 or not declaring.done():
            raise self._out_of_budget()
        return declaring.result()

    async def _declare(self) -> Publisher:
        """Open the broker and declare the queues; try again for as long as somebody waits for it."""
        pause = FIRST_PAUSE
        while True:
            try:
                if self._broker is None:
                    # It imports what the broker needs, which can take longer than others who wait here may.
                    self._broker = await asyncio.to_thread(self._opener)
                await self._broker.declare(self._queues)
            except BrokerUnavailable as error:
                self._why_not = f": {error}"
                if not self._waiting:
                    raise
            except BrokerRefused as error:
                raise BrokerUnavailable(f"the broker refuses: {error}") from error
            except BridgeError:
                raise
            except Exception as error:  # importing and opening a broker may raise anything
                raise BrokerUnavailable(f"the broker cannot be used: {type(error).__name__}: {error}") from error
            else:
                self._why_not = ""
                self._publisher = self._publisher or self._broker.publisher()
                return self._publisher
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _out_of_budget(self) -> BrokerUnavailable:
        how = "could not be reached" if self._why_not else "could not be reached in time"
        return BrokerUnavailable(f"{self.name} {how}; nothing was published{self._why_not}")


def _failed(task: "asyncio.Task[Publisher]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
