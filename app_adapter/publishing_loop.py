"""The event loop of a publishing thread: begins the tickets that wait, and answers them. Runs on that thread alone."""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from app_adapter.daemon_threads import DaemonThreads
from app_adapter.outgoing import Outgoing
from app_adapter.ticket import Ticket
from bridge.call import Answer, Question
from bridge.cancellations import Cancellation
from bridge.deadline import Deadline
from bridge.errors import BridgeError
from bridge.event import Event
from bridge.local_database.own_threads import mark_this_thread
from bridge.publishing.errands import Errand, Fetched
from bridge.publishing.lazy_publisher import Destination, Posting

BATCH = 256
"""Most events that one turn of the event loop starts to publish."""

IN_FLIGHT = 1024
"""Most events without a task that wait for the broker's answer. The others keep waiting here, where their callers can
withdraw them."""

log = logging.getLogger("bridge")


class EventPublisher(Protocol):
    """The publisher of a thread: `bridge.publishing.lazy_publisher` or `bridge.publishing.spooling_publisher`."""

    closing: float

    @property
    def name(self) -> str: ...

    @property
    def trouble(self) -> str: ...

    async def ready(self, deadline: Deadline) -> None: ...

    async def publish(
        self, event: Event, due: datetime | None = None, *, deadline: Deadline, within: timedelta | None = None
    ) -> Destination: ...

    def at_once(self, event: Event, due: datetime | None = None, *, deadline: Deadline) -> Posting | None: ...

    async def ask(self, question: Question, *, deadline: Deadline) -> Answer: ...

    async def cancel(self, cancellation: Cancellation, *, deadline: Deadline) -> None: ...

    async def do(self, errand: Errand, *, deadline: Deadline) -> Fetched | Destination: ...

    async def close(self) -> None: ...


class PublishingLoop:
    """Takes tickets from `waiting` until it is stopped. `wake` and `stop` may be called on any thread."""

    def __init__(self, publisher: EventPublisher, waiting: deque[Ticket]) -> None:
        self.publisher = publisher
        self._waiting = waiting
        self._stopped = asyncio.Event()
        self._looking = False
        self._in_flight = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._publishing: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._context = Context()

    def run(self) -> None:
        """Publish until `stop`, then close the publisher."""
        asyncio.set_event_loop(self._loop)
        self._loop.set_default_executor(DaemonThreads(mark_this_thread))
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    def wake(self) -> None:
        """Look for waiting tickets. Raise `RuntimeError` if the loop has ended."""
        # Not in the caller's context: a task that lives on would keep the request of that caller alive.
        self._loop.call_soon_threadsafe(self._begin_batch, context=self._context)

    def stop(self) -> None:
        """Close the publisher soon, and end. Raise `RuntimeError` if the loop has ended."""
        self._loop.call_soon_threadsafe(self._stopped.set, context=self._context)

    async def _serve(self) -> None:
        self._begin_batch()  # events came before this loop
        await self._stopped.wait()
        try:
            await self.publisher.close()
        except Exception:  # go on: the process is ending, and the thread has to end
            log.warning("closing %s failed; the process ends anyway", self.publisher.name, exc_info=True)
        await _cancel_the_others()

    def _begin_batch(self) -> None:
        """Start to publish the next `BATCH` events, and go on in the next turn."""
        self._looking = False
        for _ in range(BATCH):
            if self._stopped.is_set() or self._in_flight >= IN_FLIGHT:
                return
            try:
                ticket = self._waiting.popleft()
            except IndexError:
                return
            self._begin(ticket)
        self._look_again()

    def _look_again(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._begin_batch)

    def _begin(self, ticket: Ticket) -> None:
        out = ticket.outgoing
        if isinstance(out, Question):
            self._keep(self._ask(ticket, out), self._tasks)
        elif isinstance(out, Cancellation):
            self._keep(self._cancel(ticket, out), self._tasks)
        elif isinstance(out, Errand):
            self._keep(self._do(ticket, out), self._tasks)
        elif (posting := self._at_once(ticket, out)) is None:
            self._keep(self._publish(ticket, out), self._publishing)
        elif ticket.begin():  # else its caller has withdrawn the event
            self._in_flight += 1
            posting(partial(self._told, ticket))

    def _at_once(self, ticket: Ticket, out: Outgoing) -> Posting | None:
        """Return what publishes without a task, unless an event before this one waits in a task: many events are
        published in their order."""
        if out.within is not None or self._publishing:
            return None
        return self.publisher.at_once(out.event, out.due, deadline=ticket.deadline)

    def _told(self, ticket: Ticket, answer: Destination | BridgeError) -> None:
        self._in_flight -= 1
        ticket.answer(answer)
        if self._waiting:
            self._look_again()

    def _keep(self, work: Coroutine[None, None, None], tasks: set[asyncio.Task[None]]) -> None:
        task = self._loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _publish(self, ticket: Ticket, out: Outgoing) -> None:
        try:
            await self.publisher.ready(ticket.deadline)
        except BridgeError as error:
            if ticket.begin():
                ticket.answer(error)
            return
        if not ticket.begin():
            return  # the caller has withdrawn the event
        try:
            ticket.answer(await self.publisher.publish(out.event, out.due, deadline=ticket.deadline, within=out.within))
        except BridgeError as error:
            ticket.answer(error)

    async def _ask(self, ticket: Ticket, question: Question) -> None:
        if not ticket.begin():
            return  # the caller has given up
        try:
            ticket.answer(await self.publisher.ask(question, deadline=ticket.deadline))
        except BridgeError as error:
            ticket.answer(error)

    async def _cancel(self, ticket: Ticket, cancellation: Cancellation) -> None:
        if not ticket.begin():
            return  # the caller has given up
        try:
            await self.publisher.cancel(cancellation, deadline=ticket.deadline)
        except BridgeError as error:
            ticket.answer(error)
        else:
            ticket.answer("broker")

    async def _do(self, ticket: Ticket, errand: Errand) -> None:
        if not ticket.begin():
            return  # the caller has given up
        try:
            ticket.answer(await self.publisher.do(errand, deadline=ticket.deadline))
        except BridgeError as error:
            ticket.answer(error)


async def _cancel_the_others() -> None:
    """Cancel what still runs, so that asyncio does not report tasks that were never ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=0.1)
