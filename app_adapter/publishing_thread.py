"""From synchronous, threaded and forked code to an asynchronous Publisher: one thread that publishes to one broker.

Callers hand it an event and wait for the broker's confirmation, never longer than their budget, whatever the thread
does. Which threads a process has is kept in `publishing_process`.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

from bridge.brokers.contract import Broker, Publisher
from bridge.errors import BridgeError, BrokerRefused, BrokerUnavailable, DeferError, DeferUnconfirmed, Unroutable
from bridge.event import Event
from bridge.queues import Queue

MAX_WAITING = 10_000
BATCH = 256
SLACK = 0.05
"""Seconds beyond the budget in which the thread's own answer is still awaited: it knows more than who gives up."""
CLOSING = 0.5
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0

log = logging.getLogger("bridge")


@dataclass(frozen=True, slots=True)
class _Ticket:
    """An event on its way. Cancelling the future withdraws it; the future runs from when a publisher has the event."""

    event: Event
    due: datetime | None
    deadline: float
    future: "Future[None]" = field(default_factory=Future)

    @property
    def remaining(self) -> float:
        """Seconds left of the budget."""
        return self.deadline - time.monotonic()


class PublishingThread:
    """A daemon thread with an event loop of its own. The broker is opened and `queues` are declared there at the first
    event, and declared again after a failure."""

    def __init__(self, opener: Callable[[], Broker], queues: tuple[Queue, ...]) -> None:
        self._opener = opener
        self._queues = queues
        self._broker: Broker | None = None
        self._publisher: Publisher | None = None
        self._declaring: asyncio.Task[Publisher] | None = None
        self._why_not = ""
        self._waiting: deque[_Ticket] = deque()
        self._lock = threading.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="bridge-publisher", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it can still publish."""
        return self._thread.is_alive()

    def publish(self, event: Event, due: datetime | None, budget: float) -> None:
        """Publish within `budget` seconds. Raises the `DeferError`s that `Publisher.publish` raises."""
        ticket = _Ticket(event, due, time.monotonic() + budget)
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                raise BrokerUnavailable(f"{MAX_WAITING} events of this process wait for the broker already")
            self._waiting.append(ticket)
            first = len(self._waiting) == 1
        if first:
            self._loop.call_soon_threadsafe(self._take)
        try:
            ticket.future.result(timeout=budget + SLACK)
        except TimeoutError:
            if ticket.future.cancel():
                raise self._out_of_budget() from None
            if not ticket.future.done():
                raise DeferUnconfirmed(
                    event.id, f"event {event.id} was written and not confirmed within {budget:g} s: it may still run"
                ) from None
            ticket.future.result()

    def close(self) -> None:
        """Close the broker and end the thread, within half a second; what does not end then dies with the process."""
        if self.alive:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop)
            self._thread.join(CLOSING)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _take(self) -> None:
        """Begin to publish what waits, a batch a turn of the loop."""
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if self._waiting:
                self._loop.call_soon(self._take)
        for ticket in batch:
            task = self._loop.create_task(self._answer(ticket))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _answer(self, ticket: _Ticket) -> None:
        try:
            publisher = await self._declared(ticket)
        except BridgeError as error:
            if ticket.future.set_running_or_notify_cancel():
                ticket.future.set_exception(error)
            return
        if not ticket.future.set_running_or_notify_cancel():
            return  # withdrawn meanwhile
        try:
            await publisher.publish(ticket.event, ticket.due, within=max(ticket.remaining, 0.0))
        except DeferError as error:
            if not isinstance(error, Unroutable):
                self._declaring = None
            ticket.future.set_exception(error)
        except Exception as error:
            # A defect, and no telling how far it came: the caller must not take it for unpublished.
            self._declaring = None
            message = f"publishing event {ticket.event.id} broke: {type(error).__name__}: {error}: it may still run"
            unconfirmed = DeferUnconfirmed(ticket.event.id, message)
            unconfirmed.__cause__ = error
            ticket.future.set_exception(unconfirmed)
        else:
            ticket.future.set_result(None)

    async def _declared(self, ticket: _Ticket) -> Publisher:
        """Return the publisher, once the queues are there. Raise `BrokerUnavailable` when the budget is over."""
        if self._declaring is None or _failed(self._declaring):
            self._declaring = self._loop.create_task(self._declare())
            self._declaring.add_done_callback(_failed)  # all who waited may be gone by then, and nobody else asks
        declaring = self._declaring
        if not declaring.done():
            await asyncio.wait([declaring], timeout=max(ticket.remaining, 0.0))
        if ticket.remaining <= 0 or not declaring.done():
            raise self._out_of_budget()
        return declaring.result()

    async def _declare(self) -> Publisher:
        """Open the broker and declare the queues; try again for as long as somebody waits for it."""
        pause = FIRST_PAUSE
        while True:
            try:
                if self._broker is None:
                    self._broker = self._opener()
                await self._broker.declare(self._queues)
            except BrokerUnavailable as error:
                self._why_not = f": {error}"
                if not self._under_way:
                    raise
            except BrokerRefused as error:
                raise BrokerUnavailable(f"the broker refuses: {error}") from error
            except BridgeError:
                raise
            except Exception as error:
                raise BrokerUnavailable(f"the broker cannot be used: {type(error).__name__}: {error}") from error
            else:
                self._why_not = ""
                self._publisher = self._publisher or self._broker.publisher()
                return self._publisher
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _out_of_budget(self) -> BrokerUnavailable:
        name = "the broker" if self._broker is None else self._broker.name
        how = "could not be reached" if self._why_not else "could not be reached in time"
        return BrokerUnavailable(f"{name} {how}; nothing was published{self._why_not}")

    async def _close(self) -> None:
        try:
            if self._broker is not None:
                await self._broker.close()
        except Exception:
            log.warning("the broker could not be closed in good order", exc_info=True)
        finally:
            self._loop.stop()


def _failed(task: "asyncio.Task[Publisher]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
