"""From synchronous, threaded and forked code to an asynchronous publisher: one thread that publishes to one broker.

Callers hand it an event and wait for the broker's confirmation, never longer than their budget, whatever the thread
does. Which threads a process has is kept in `publishing_process`.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bridge.errors import BridgeError, BrokerUnavailable, DeferUnconfirmed
from bridge.event import Event

MAX_WAITING = 10_000
BATCH = 256
SLACK = 0.05
"""Seconds beyond the budget in which the thread's own answer is still awaited: it knows more than who gives up."""

log = logging.getLogger("bridge")


class EventPublisher(Protocol):
    """What a thread publishes by: `bridge.brokers.declared`, or `bridge.brokers.spool.publisher`."""

    closing: float

    @property
    def name(self) -> str: ...

    async def ready(self, within: float) -> None: ...

    async def publish(self, event: Event, due: datetime | None = None, *, within: float) -> None: ...

    async def close(self) -> None: ...


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
    """A daemon thread with an event loop of its own, and a publisher that is used there alone."""

    def __init__(self, publisher: EventPublisher) -> None:
        self._publisher = publisher
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
            if not self._waiting:
                self._loop.call_soon_threadsafe(self._take)  # it takes the lock, and so sees what follows
            self._waiting.append(ticket)
        try:
            ticket.future.result(timeout=budget + SLACK)
        except TimeoutError:
            if ticket.future.cancel():
                raise BrokerUnavailable(
                    f"{self._publisher.name} could not be reached in time; nothing was published"
                ) from None
            if not ticket.future.done():
                raise DeferUnconfirmed(
                    event.id, f"event {event.id} was written and not confirmed within {budget:g} s: it may still run"
                ) from None
            ticket.future.result()

    def close(self) -> None:
        """Close the publisher and end the thread, in the time that the publisher may take (half a second; with a spool,
        more); what does not end then dies with the process."""
        if self.alive:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop)
            self._thread.join(self._publisher.closing)

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
            await self._publisher.ready(ticket.remaining)
        except BridgeError as error:
            if ticket.future.set_running_or_notify_cancel():
                ticket.future.set_exception(error)
            return
        if not ticket.future.set_running_or_notify_cancel():
            return  # withdrawn meanwhile
        try:
            await self._publisher.publish(ticket.event, ticket.due, within=max(ticket.remaining, 0.0))
        except BridgeError as error:
            ticket.future.set_exception(error)
        else:
            ticket.future.set_result(None)

    async def _close(self) -> None:
        try:
            await self._publisher.close()
        except Exception:  # the process is ending, and the thread has to
            log.warning("the broker could not be closed in good order", exc_info=True)
        finally:
            self._loop.stop()
