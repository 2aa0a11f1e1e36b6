"""The event loop of a publishing thread: begins the tickets that wait, and answers them. Runs on that thread alone."""

import asyncio
import logging
from collections import deque
from datetime import datetime, timedelta
from typing import Protocol

from app_adapter.daemon_threads import DaemonThreads
from app_adapter.ticket import Ticket
from bridge.call import Answer, Question
from bridge.deadline import Deadline
from bridge.errors import BridgeError
from bridge.event import Event
from bridge.local_database.own_threads import mark_this_thread
from bridge.publishing.lazy_publisher import Destination

BATCH = 256
"""Most events that one turn of the event loop starts to publish."""

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

    async def ask(self, question: Question, *, deadline: Deadline) -> Answer: ...

    async def close(self) -> None: ...


class PublishingLoop:
    """Takes tickets from `waiting` until it is stopped. `wake` and `stop` may be called on any thread."""

    def __init__(self, publisher: EventPublisher, waiting: deque[Ticket]) -> None:
        self.publisher = publisher
        self._waiting = waiting
        self._woken = asyncio.Event()
        self._stopping = False
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()

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
        self._loop.call_soon_threadsafe(self._woken.set)

    def stop(self) -> None:
        """Close the publisher soon, and end. Raise `RuntimeError` if the loop has ended."""
        self._stopping = True
        self.wake()

    async def _serve(self) -> None:
        # The tasks of tickets are made here, and so not in the context of a caller. A task that lives on would keep the
        # request of that caller alive.
        while not self._stopping:
            self._woken.clear()
            if self._begin_batch():
                self._woken.set()
                await asyncio.sleep(0)
            await self._woken.wait()
        try:
            await self.publisher.close()
        except Exception:  # go on: the process is ending, and the thread has to end
            log.warning("closing %s failed; the process ends anyway", self.publisher.name, exc_info=True)
        await _cancel_the_others()

    def _begin_batch(self) -> bool:
        """Start to publish the next `BATCH` events. Return True if more may wait."""
        for _ in range(BATCH):
            try:
                ticket = self._waiting.popleft()
            except IndexError:
                return False
            task = self._loop.create_task(self._publish(ticket))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return True

    async def _publish(self, ticket: Ticket) -> None:
        out = ticket.outgoing
        if isinstance(out, Question):
            await self._ask(ticket, out)
            return
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


async def _cancel_the_others() -> None:
    """Cancel what still runs, so that asyncio does not report tasks that were never ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=0.1)
