"""A publisher that opens its broker at the first event. It does not wait until the queues are declared: a publish that
finds something missing declares them.

It publishes before a deadline. It does not know the threads that call `defer()`, nor the spool.
"""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, cast

from bridge.back_off import BackOff
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.calling import Caller
from bridge.brokers.contract.logs import Log
from bridge.brokers.contract.mailboxes import Mailboxes
from bridge.brokers.contract.publishing import Post, Publisher, Withdraw
from bridge.call import Answer, AnswerKind, Question
from bridge.cancellations import Cancellation, record_of
from bridge.deadline import Deadline
from bridge.envelope import Envelope
from bridge.errors import (
    BridgeError,
    BrokerRefused,
    BrokerUnavailable,
    CallError,
    CallUnavailable,
    DeferError,
    DeferForbidden,
    DeferRejected,
    DeferUnconfirmed,
    DuplicateEvent,
    PartlyRejected,
    TooLarge,
    Unroutable,
)
from bridge.event import Event
from bridge.logs import AppendUnconfirmed
from bridge.publishing.errands import Errand, Fetched, run
from bridge.queues import Queue, route
from bridge.site_logs import CANCELLATIONS

PREPARE_BACK_OFF = BackOff(first=0.05, at_most=1.0)
NOT_PUBLISHED = "nothing was published"

Destination = Literal["broker", "spool"]
"""The place where a publisher put an event."""

Posted = Destination | BridgeError
"""The place of an event, or the reason why it is not published. A name, because the annotations of a function within a
function are evaluated at each call, and making this union takes some microseconds."""

Told = Callable[[Posted], None]
"""Is told once, on the publisher's event loop, where the event is, or why it is not published."""

Posting = Callable[[Told], Withdraw]
"""Publishes one event without waiting, as `Post` does."""


class LazyPublisher:
    """One broker, its queues and one publisher, on one event loop. `opener` opens the broker."""

    closing = 0.5
    """Seconds that `close()` may take at the end of a process."""

    def __init__(self, opener: Callable[[], Broker], queues: tuple[Queue, ...]) -> None:
        self._opener = opener
        self._queues = queues
        self._broker: Broker | None = None
        self._publisher: Publisher | None = None
        self._caller: Caller | None = None
        self._cancellations: Log | None = None
        self._mailboxes: Mailboxes | None = None
        self._preparing: asyncio.Task[Publisher] | None = None
        self._waiting = 0
        self._last_failure = ""

    @property
    def name(self) -> str:
        """The broker's name for log lines and errors."""
        return "the broker" if self._broker is None else self._broker.name

    @property
    def trouble(self) -> str:
        """The reason why events cannot be published now, for errors."""
        of_broker = "" if self._broker is None else self._broker.trouble
        return of_broker or self._last_failure or "it has not answered yet"

    async def ready(self, deadline: Deadline) -> None:
        """Return when an event can be written to the broker. Raise `BrokerUnavailable` at the deadline, or at once if
        waiting would not help. In both cases nothing was published."""
        publisher = await self._prepared(deadline, NOT_PUBLISHED)
        try:
            await publisher.ready(deadline)
        except BrokerRefused as error:
            raise BrokerUnavailable(f"the broker refuses: {error}") from error
        except BrokerUnavailable as error:
            self._last_failure = str(error)
            raise self._out_of_time(NOT_PUBLISHED) from error

    async def publish(
        self, event: Event, due: datetime | None = None, *, deadline: Deadline, within: timedelta | None = None
    ) -> Destination:
        """Publish before the deadline. Opening the broker counts towards it. Raise what
        `Publisher.publish` raises."""
        publisher = await self._prepared(deadline, NOT_PUBLISHED)
        try:
            await publisher.publish(event, due, deadline=deadline, within=within)
        except Exception as error:
            failure = self._failed(event, error)
            raise failure from failure.__cause__
        return "broker"

    def at_once(self, event: Event, due: datetime | None = None, *, deadline: Deadline) -> Posting | None:
        """Return what publishes the event without waiting; None if it has to wait. It tells what `publish` returns or
        raises."""
        if self._publisher is None or self._preparing is None or not self._preparing.done():
            return None
        try:
            post = self._publisher.at_once(event, due, deadline=deadline)
        except Exception:  # `publish` finds the same error, and reports it
            return None
        return None if post is None else partial(self._post, post, event)

    def _post(self, post: Post, event: Event, told: Told) -> Withdraw:
        def answered(error: Exception | None) -> None:
            told("broker" if error is None else self._failed(event, error))

        try:
            return post(answered)
        except Exception as error:  # an internal error
            answered(error)
            return lambda: None

    def _failed(self, event: Event, error: Exception) -> BridgeError:
        """Note that a publish failed; return the error for its caller."""
        if isinstance(error, Unroutable | TooLarge | DeferForbidden | PartlyRejected | DuplicateEvent):
            return error
        self._preparing = None
        if isinstance(error, BridgeError):
            return error
        # An internal error. The event may be published or not, so the caller may rely on neither.
        message = (
            f"internal error while publishing event {event.id}; the event may still run: "
            f"{type(error).__name__}: {error}"
        )
        unconfirmed = DeferUnconfirmed(event.id, message)
        unconfirmed.__cause__ = error
        return unconfirmed

    async def ask(self, question: Question, *, deadline: Deadline) -> Answer:
        """Ask a question, and return its answer before the deadline. Opening the broker counts towards it. A worker
        that stops before it has begun is no answer: the question is asked again. Raise `CallError`."""
        name = question.event.name
        try:
            await self._prepared(deadline)
            if self._caller is None:
                self._caller = cast(Broker, self._broker).caller()
            while True:
                answer = await self._caller.ask(question, route(self._queues, name), deadline)
                if answer.kind is not AnswerKind.NOT_BEGUN:
                    return answer
        except CallError:
            raise
        except BrokerUnavailable as error:
            raise CallUnavailable(f"the call of {name!r} was not made; nothing ran: {error}") from error
        except BridgeError:
            raise
        except Exception as error:
            message = f"internal error while calling {name!r}; it may have run: {type(error).__name__}: {error}"
            raise CallError(message) from error

    async def cancel(self, cancellation: Cancellation, *, deadline: Deadline) -> None:
        """Append a cancellation to its log before the deadline. Opening the broker counts towards it. Raise
        `BrokerUnavailable` or `DeferForbidden` (the event is not cancelled), or `DeferUnconfirmed` (it may be)."""
        event_id = cancellation.event
        await self._prepared(deadline)
        if self._cancellations is None:
            self._cancellations = cast(Broker, self._broker).log(CANCELLATIONS.name, CANCELLATIONS.retention)
        try:
            await self._cancellations.append(record_of(cancellation), deadline=deadline)
        except BrokerRefused as error:
            raise DeferForbidden(str(error)) from error
        except AppendUnconfirmed as error:
            raise DeferUnconfirmed(event_id, f"not confirmed; the event may be cancelled: {error}") from error
        except BridgeError:
            raise
        except Exception as error:
            message = f"internal error; the event may be cancelled: {type(error).__name__}: {error}"
            raise DeferUnconfirmed(event_id, message) from error

    async def do(self, errand: Errand, *, deadline: Deadline) -> Fetched | Destination:
        """Do something with a mailbox before the deadline, and return the answer. Raise what `errands.run` raises."""
        await self._prepared(deadline, errand.undone)
        if self._mailboxes is None:
            self._mailboxes = cast(Broker, self._broker).mailboxes()
        return await run(errand, self._mailboxes, deadline)

    async def put_into_each(self, event: Event, due: datetime | None, taken: set[str], seconds: float) -> None:
        """Put the event into each of its queues separately, except those in `taken`. Add each queue that confirms to
        `taken`.

        `seconds` is the timeout of each put. Raise what `Publisher.put` raises; `DeferRejected` and `DeferForbidden`
        only after the other queues were tried. Raise `DeferRejected` if these settings have no queue for the event.
        """
        publisher = await self._prepared(Deadline.after(seconds, time.monotonic()), NOT_PUBLISHED)
        envelope = Envelope(event, round_began=due or event.time)
        queues = route(self._queues, event.name)
        rejection: DeferError | None = None
        if not queues:
            rejection = DeferRejected(f"event {event.id}: no queue for {event.name!r} is known here")
        for queue in queues:
            if queue in taken:
                continue
            try:
                await publisher.put(envelope, queue, due, deadline=Deadline.after(seconds, time.monotonic()))
            except (DeferRejected, DeferForbidden) as error:
                rejection = error
            else:
                taken.add(queue)
        if rejection is not None:
            raise rejection

    async def close(self) -> None:
        """Close the broker, if it was opened."""
        if self._broker is not None:
            await self._broker.close()

    async def _prepared(self, deadline: Deadline, undone: str = "") -> Publisher:
        """Return the publisher once the broker is open. Raise `BrokerUnavailable` at the deadline, with what is not
        done then."""
        if self._preparing is None or _has_failed(self._preparing):
            self._preparing = asyncio.create_task(self._prepare())
            self._preparing.add_done_callback(_has_failed)  # retrieves the exception, else asyncio logs it
        declaring = self._preparing
        if not declaring.done():
            self._waiting += 1
            try:
                await asyncio.wait([declaring], timeout=deadline.remaining(time.monotonic()))
            finally:
                self._waiting -= 1
        if not declaring.done():
            raise self._out_of_time(undone)
        publisher = declaring.result()
        if deadline.expired(time.monotonic()):
            raise self._out_of_time(undone)
        return publisher

    async def _prepare(self) -> Publisher:
        """Open the broker and name the queues to it. Try again while a caller waits."""
        waits = PREPARE_BACK_OFF.waits(random.random)
        while True:
            try:
                if self._broker is None:
                    # In a thread, because the imports of a broker can take longer than the deadline of a caller.
                    self._broker = await asyncio.to_thread(self._opener)
                await self._broker.prepare(self._queues)
            except BrokerUnavailable as error:
                self._last_failure = str(error)
                if not self._waiting:
                    raise
            except BrokerRefused as error:
                raise BrokerUnavailable(f"the broker refuses: {error}") from error
            except BridgeError:
                raise
            except Exception as error:  # importing and opening a broker may raise anything
                raise BrokerUnavailable(f"the broker cannot be used: {type(error).__name__}: {error}") from error
            else:
                self._last_failure = ""
                self._publisher = self._publisher or self._broker.publisher()
                return self._publisher
            await asyncio.sleep(next(waits))

    def _out_of_time(self, undone: str) -> BrokerUnavailable:
        return BrokerUnavailable(f"{self.name} could not be reached in time{undone and '; '}{undone}: {self.trouble}")


def _has_failed(task: "asyncio.Task[Publisher]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
