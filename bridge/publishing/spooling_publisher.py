"""Publishes to the broker while it answers, and to the spool while it does not: the circuit with its effects.

The relay, which empties the spool and whose success closes the circuit, is in `spool.relay`.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from bridge.brokers.contract.publishing import Withdraw
from bridge.call import Answer, Question
from bridge.cancellations import Cancellation
from bridge.deadline import Deadline
from bridge.errors import (
    BridgeError,
    BrokerRefused,
    BrokerUnavailable,
    DeferRejected,
    DeferUnconfirmed,
    PartlyRejected,
)
from bridge.event import Event
from bridge.moments import Tell, tell_nobody
from bridge.publishing.circuit import Circuit, Observation
from bridge.publishing.errands import Errand, Fetched
from bridge.publishing.lazy_publisher import Destination, LazyPublisher, Posted, Posting, Told
from bridge.publishing.spool.relay import SpoolRelay
from bridge.publishing.spool.spool_file import SpoolFile
from bridge.publishing.spool.store import Store

_SHARE, _AT_MOST = 0.5, 1.0
"""The share of an event's remaining time that is reserved for the spool, and its maximum in seconds."""
_AT_LEAST = 0.1
"""Seconds that the spool has even if the deadline is nearer."""
FLUSH = 0.25
"""Seconds that each step of `close()` may take."""
_LOOK = 0.005
"""Seconds between two looks of `close()` whether events are still under way."""

log = logging.getLogger("bridge")


@dataclass(frozen=True, slots=True, eq=False)
class _Posted:
    """An event that the broker has not answered yet, and that no task waits for."""

    event: Event
    due: datetime | None
    deadline: Deadline
    told: Told


class SpoolingPublisher:
    """A publisher with a spool. A broker that does not answer delays at most the events that are in flight.

    The relay runs from the first event, or from `start()`. It calls `tell` with a `Relayed` for each event that it
    published.
    """

    closing = 1.25
    """Seconds that `close()` may take at the end of a process."""

    def __init__(
        self, broker: LazyPublisher, file: SpoolFile, tell: Tell = tell_nobody, *, creates: bool = True
    ) -> None:
        """`creates`: a missing file is created."""
        self._broker = broker
        self._store = Store(file, creates=creates)
        self._circuit = Circuit()
        self._relay = SpoolRelay(self._store, broker, self._circuit, self._note, tell)
        self._relaying: asyncio.Task[None] | None = None
        self._publishing: set[asyncio.Task[object]] = set()
        self._at_broker: set[asyncio.Task[object]] = set()
        self._cut: set[asyncio.Task[object]] = set()
        self._posted: dict[_Posted, Withdraw] = {}

    @property
    def name(self) -> str:
        """The broker's name for log lines and errors."""
        return self._broker.name

    @property
    def trouble(self) -> str:
        """The reason why events cannot be published now, for errors."""
        return self._broker.trouble

    def start(self) -> None:
        """Start to relay the events in the spool."""
        if self._relaying is None:
            self._relaying = asyncio.create_task(self._relay.run(), name="spool relay")

    async def ready(self, deadline: Deadline) -> None:
        """Return at once, because the spool can always be tried."""

    async def publish(
        self, event: Event, due: datetime | None = None, *, deadline: Deadline, within: timedelta | None = None
    ) -> Destination:
        """Publish before the deadline, or write to the spool; return where the event is. Half of the remaining time, at
        most 1 s, is reserved for the spool. An event with `within` is not spooled: a spool cannot tell whether
        another event holds the key.

        Raise what `Publisher.publish` raises, except `BrokerUnavailable`, which only an event with `within` raises.
        Raise `DeferRejected` also if neither the broker nor the spool takes the event, `DeferUnconfirmed` if the event
        may have been published or spooled.
        """
        self.start()
        if within is not None:
            return await self._broker.publish(event, due, deadline=deadline, within=within)
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._publishing.add(task)
        try:
            return await self._publish(task, event, due, deadline)
        finally:
            self._publishing.discard(task)

    def at_once(self, event: Event, due: datetime | None = None, *, deadline: Deadline) -> Posting | None:
        """Return what publishes the event to the broker without waiting; None if it has to wait, or is to be spooled.
        It tells what `publish` returns or raises."""
        if not self._circuit.closed:
            return None
        to_broker = deadline.reserving(_SHARE, _AT_MOST, time.monotonic())
        post = self._broker.at_once(event, due, deadline=to_broker)
        return None if post is None else lambda told: self._post(post, _Posted(event, due, deadline, told))

    async def ask(self, question: Question, *, deadline: Deadline) -> Answer:
        """Ask the broker a question, and return its answer. Calls are never spooled. Raise `CallError`."""
        return await self._broker.ask(question, deadline=deadline)

    async def cancel(self, cancellation: Cancellation, *, deadline: Deadline) -> None:
        """Append a cancellation to its log. Cancellations are never spooled. Raise what `LazyPublisher.cancel`
        raises."""
        await self._broker.cancel(cancellation, deadline=deadline)

    async def do(self, errand: Errand, *, deadline: Deadline) -> Fetched | Destination:
        """Do something with a mailbox. Messages are never spooled. Raise what `LazyPublisher.do` raises."""
        return await self._broker.do(errand, deadline=deadline)

    async def close(self) -> None:
        """Wait `FLUSH` seconds for confirms, then spool the events without one. End the relay after its batch; close
        the file and the broker."""
        if await self._still_publishing():
            self._note(Observation.SILENCE, "this process ends")
            await self._still_publishing()
        if self._relaying is not None:
            self._relay.stop()
            await asyncio.wait({self._relaying}, timeout=FLUSH)
            self._relaying.cancel()
            await asyncio.wait({self._relaying}, timeout=FLUSH)
        await self._store.close()
        await self._broker.close()

    async def _publish(
        self, task: "asyncio.Task[object]", event: Event, due: datetime | None, deadline: Deadline
    ) -> Destination:
        silence: BridgeError | None = None
        if self._circuit.closed:
            try:
                await self._to_broker(task, event, due, deadline.reserving(_SHARE, _AT_MOST, time.monotonic()))
            except PartlyRejected:
                raise  # the broker has answered; spooling would publish the event again to the queues that have it
            except (BrokerUnavailable, DeferUnconfirmed) as error:
                silence = error
                self._note(Observation.SILENCE, error)
            else:
                return "broker"
        await self._to_spool(event, due, deadline.at_least(_AT_LEAST, time.monotonic()), silence)
        return "spool"

    def _post(self, post: Posting, posted: _Posted) -> Withdraw:
        def told(answer: Posted) -> None:
            if self._posted.pop(posted, None) is None:
                return  # it was taken back, and is spooled
            if isinstance(answer, BrokerUnavailable | DeferUnconfirmed) and not isinstance(answer, PartlyRejected):
                self._note(Observation.SILENCE, answer)
                self._spool(posted, answer)
            else:
                posted.told(answer)

        self.start()
        self._posted[posted] = lambda: None
        withdraw = post(told)
        if posted in self._posted:
            self._posted[posted] = withdraw
        return withdraw

    def _spool(self, posted: _Posted, silence: BridgeError) -> None:
        task = asyncio.create_task(self._spool_and_tell(posted, silence))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _spool_and_tell(self, posted: _Posted, silence: BridgeError) -> object:
        deadline = posted.deadline.at_least(_AT_LEAST, time.monotonic())
        try:
            await self._to_spool(posted.event, posted.due, deadline, silence)
        except BridgeError as error:
            posted.told(error)
        else:
            posted.told("spool")
        return None

    async def _to_broker(
        self, task: "asyncio.Task[object]", event: Event, due: datetime | None, deadline: Deadline
    ) -> None:
        self._at_broker.add(task)
        try:
            await self._broker.publish(event, due, deadline=deadline)
        except asyncio.CancelledError:
            if task not in self._cut:
                raise
            task.uncancel()
            raise _cut_off(event) from None
        finally:
            self._at_broker.discard(task)
            self._cut.discard(task)

    async def _to_spool(
        self, event: Event, due: datetime | None, deadline: Deadline, silence: BridgeError | None
    ) -> None:
        number: int | None = None
        try:
            number = await self._store.add(event, due, deadline)
        except (DeferRejected, BrokerUnavailable, BrokerRefused) as error:
            cause = f"; the broker: {silence}" if silence is not None else ""
            message = f"event {event.id} is neither confirmed nor spooled: {error}{cause}"
            if isinstance(silence, DeferUnconfirmed):
                raise DeferUnconfirmed(event.id, f"{message}; the event may still run") from error
            raise DeferRejected(message) from error
        finally:
            self._relay.opened(number)

    def _note(self, observation: Observation, why: object) -> None:
        if not self._circuit.note(observation, time.monotonic()):
            return
        if self._circuit.closed:
            log.info("%s answers again: events go to it", self._broker.name)
            return
        log.warning("%s does not answer: events go to the spool %s: %s", self._broker.name, self._store.path, why)
        for task in self._at_broker:  # do not let these wait for a broker that has just not answered
            self._cut.add(task)
            task.cancel()
        posted, self._posted = self._posted, {}
        for each, withdraw in posted.items():
            withdraw()
            self._spool(each, _cut_off(each.event))

    async def _still_publishing(self) -> bool:
        """Wait at most `FLUSH` seconds for the events under way; return True if some still are."""
        end = time.monotonic() + FLUSH
        while self._publishing or self._posted:
            if time.monotonic() >= end:
                return True
            await asyncio.sleep(_LOOK)
        return False


def _cut_off(event: Event) -> DeferUnconfirmed:
    return DeferUnconfirmed(event.id, "not confirmed when the broker did not answer another event")
