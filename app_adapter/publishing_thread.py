"""One thread that publishes to one broker, for synchronous, threaded and forked callers.

A caller hands an event over and waits for the broker's confirm until its deadline, even if the thread is blocked.
`publishing_loop` runs on the thread. `fork_safe_publishing` has the threads of a process.

A signal handler or a finalizer can interrupt a caller anywhere and call `defer()` itself. So a caller takes no lock,
starts no `threading.Thread` (its `start` holds a lock while it waits for the new thread), and imports nothing: what the
interrupted caller was importing, the inner one would find half imported.
"""

import _thread
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from app_adapter.outgoing import Outgoing
from app_adapter.ticket import Ticket
from bridge.brokers.opening import importing
from bridge.deadline import Deadline
from bridge.errors import (
    BrokerUnavailable,
    CallError,
    CallTimedOut,
    CallUnavailable,
    DeferError,
    DeferForbidden,
    DeferUnavailable,
    DeferUnconfirmed,
)
from bridge.event import Event
from bridge.local_database.own_threads import mark_this_thread

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from app_adapter.publishing_loop import EventPublisher, PublishingLoop
    from bridge.call import Answer, Question
    from bridge.cancellations import Cancellation
    from bridge.publishing.lazy_publisher import Destination

MAX_WAITING = 10_000
"""Most events of one thread that wait for the broker."""
SLACK = 0.05
"""Seconds after the deadline that a caller waits for the thread's own error, which is more precise."""


class PublishingThread:
    """A daemon thread with its own event loop, started by the first event and again if it has ended. Only this thread
    makes and uses the publisher."""

    def __init__(self, make_publisher: "Callable[[], EventPublisher]") -> None:
        self._make_publisher = make_publisher
        self._waiting: deque[Ticket] = deque()
        self._alive = threading.Lock()  # held by the thread until it ends; callers only look at it
        self._loop: PublishingLoop | None = None

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._alive.locked()

    def publish(
        self, event: Event, due: "datetime | None", deadline: Deadline, within: "timedelta | None" = None
    ) -> "Destination":
        """Publish before the deadline; return where the event is. Raise the errors of `Publisher.publish`, with
        `DeferUnavailable` instead of `BrokerUnavailable`. If a signal handler raises, its exception passes through, and
        the event is not published unless its publishing has begun."""
        ticket = Ticket(Outgoing(event, due, within), deadline)
        try:
            self.hand_over([ticket])
            return self._wait_for(ticket, end_of(deadline))
        except BrokerUnavailable as error:
            raise DeferUnavailable(str(error)) from error
        finally:
            ticket.withdraw()  # has an effect only if an exception ended the wait

    def ask(self, question: "Question", deadline: Deadline) -> "Answer":
        """Ask a question, and return its answer. Raise `CallError`. If a signal handler raises, its exception passes
        through, and the answer is dropped."""
        ticket = Ticket(question, deadline)
        try:
            self.hand_over([ticket])
            answer = ticket.wait(max(end_of(deadline) - time.monotonic(), 0.0))
        except BrokerUnavailable as error:
            if isinstance(error, CallError):
                raise
            raise CallUnavailable(f"the call of {question.event.name!r} was not made: {error}") from error
        finally:
            withdrawn = ticket.withdraw()
        if answer is None:
            within = f"within {question.timeout:g} s"
            if withdrawn:
                raise CallUnavailable(f"the call of {question.event.name!r} was not made {within}; nothing ran")
            raise CallTimedOut(f"no answer to the call of {question.event.name!r} {within}")
        return cast("Answer", answer)

    def cancel(self, cancellation: "Cancellation", deadline: Deadline) -> None:
        """Cancel an event before the deadline. Raise `DeferUnavailable` or `DeferForbidden` (the event is not
        cancelled), or `DeferUnconfirmed` (it may be)."""
        ticket = Ticket(cancellation, deadline)
        not_cancelled = f"event {cancellation.event} is not cancelled"
        try:
            self.hand_over([ticket])
            answer = ticket.wait(max(end_of(deadline) - time.monotonic(), 0.0))
        except BrokerUnavailable as error:
            raise DeferUnavailable(f"{not_cancelled}: {error}") from error
        except DeferForbidden as error:
            raise DeferForbidden(f"{not_cancelled}: {error}") from error
        except DeferUnconfirmed as error:
            raise DeferUnconfirmed(
                cancellation.event, f"the cancellation of event {cancellation.event}: {error}"
            ) from error
        finally:
            withdrawn = ticket.withdraw()
        if answer is None and withdrawn:
            raise DeferUnavailable(f"{not_cancelled}: {self.out_of_time()}")
        if answer is None:
            why = f"the cancellation of event {cancellation.event} is not confirmed; the event may be cancelled"
            raise DeferUnconfirmed(cancellation.event, why)

    def publish_many(self, outgoing: Sequence[Outgoing], deadline: Deadline) -> "list[Destination | DeferError]":
        """Publish all before the deadline, at the same time; return where each event is, or its error. The errors, and
        the exceptions of signal handlers, are those of `publish`."""
        tickets = [Ticket(each, deadline) for each in outgoing]
        end = end_of(deadline)
        refusal: BrokerUnavailable | None = None
        try:
            try:
                self.hand_over(tickets)
            except BrokerUnavailable as error:
                refusal = error
            # The last one first: most answers come in order, and the others then have theirs without a wait.
            answers = [self._answer_of(ticket, end, refusal) for ticket in reversed(tickets)]
        finally:
            for ticket in tickets:
                ticket.withdraw()
        return answers[::-1]

    def close(self) -> None:
        """Close the publisher and end the thread. Wait at most the publisher's `closing` seconds; after them, the
        thread ends with the process."""
        loop = self._loop
        if loop is None:
            return
        try:
            loop.stop()
        except RuntimeError:
            return  # it has ended by itself
        if self._alive.acquire(timeout=loop.publisher.closing):
            self._alive.release()

    def hand_over(self, tickets: Sequence[Ticket]) -> None:
        """Let the thread take these tickets. Raise `BrokerUnavailable` if too many wait, or if it cannot run."""
        if len(self._waiting) + len(tickets) > MAX_WAITING:
            raise BrokerUnavailable(f"{MAX_WAITING} events of this process already wait for the broker")
        self._waiting.extend(tickets)
        if not self.alive:
            self._start()
        loop = self._loop  # None until the thread runs, which then takes what waits
        if loop is not None:
            try:
                loop.wake()
            except RuntimeError:
                raise BrokerUnavailable("the publishing thread has ended; nothing was published") from None

    def _start(self) -> None:
        """Start the thread. If an interrupted caller or another thread does the same, one of the threads ends at once:
        so no caller has to own the start, and none can be interrupted in the middle of it."""
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError as error:
            message = f"this process cannot start a thread to publish: {error}; nothing was published"
            raise BrokerUnavailable(message) from error

    def _answer_of(self, ticket: Ticket, end: float, refusal: BrokerUnavailable | None) -> "Destination | DeferError":
        if refusal is not None and ticket.withdraw():
            return DeferUnavailable(str(refusal))
        try:
            return self._wait_for(ticket, end)
        except BrokerUnavailable as error:
            return DeferUnavailable(str(error))
        except DeferError as error:
            return error

    def _wait_for(self, ticket: Ticket, end: float) -> "Destination":
        answer = ticket.wait(max(end - time.monotonic(), 0.0))
        if answer is not None:
            return cast("Destination", answer)
        if ticket.withdraw():
            raise BrokerUnavailable(self.out_of_time("nothing was published"))
        if (answer := ticket.wait(0)) is not None:
            return cast("Destination", answer)
        in_time = f"within {ticket.deadline.budget:g} s"
        event_id = cast(Outgoing, ticket.outgoing).event.id
        raise DeferUnconfirmed(event_id, f"event {event_id} was written but not confirmed {in_time}: it may still run")

    def out_of_time(self, undone: str = "") -> str:
        """Return what a caller learns whose ticket was withdrawn at its deadline, with what is not done then."""
        loop = self._loop
        name, trouble = ("the broker", "") if loop is None else (loop.publisher.name, f": {loop.publisher.trouble}")
        return f"{name} could not be reached in time{undone and '; '}{undone}{trouble}"

    # The methods below run on the thread.

    def _run(self) -> None:
        if not self._alive.acquire(blocking=False):
            return  # another thread was started for the same events
        mark_this_thread()
        threading.current_thread().name = "bridge-publisher"
        reason = "the publishing thread has ended"
        try:
            self._loop = self._new_loop()
            self._loop.run()
        except Exception as error:  # such as OSError without a free descriptor: the callers get it
            reason = f"this process cannot publish: {type(error).__name__}: {error}"
        finally:
            self._loop = None
            self._alive.release()
            self._refuse_waiting(reason)  # after the release: a caller that saw the thread alive does not wait in vain

    def _new_loop(self) -> "PublishingLoop":
        # Imported on this thread, because a process that defers no event needs no asyncio.
        with importing:
            from app_adapter.publishing_loop import PublishingLoop

        return PublishingLoop(self._make_publisher(), self._waiting)

    def _refuse_waiting(self, reason: str) -> None:
        while self._waiting:
            try:
                ticket = self._waiting.popleft()
            except IndexError:
                return
            if ticket.begin():
                ticket.answer(BrokerUnavailable(f"{reason}; nothing was published"))


def end_of(deadline: Deadline) -> float:
    """Return the reading of the steady clock at which a caller stops waiting."""
    return time.monotonic() + deadline.remaining(time.monotonic()) + SLACK
