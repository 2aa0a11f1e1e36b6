"""Publishes to the broker while it answers, and to the spool while it does not: the circuit with its effects.

The relay, which empties the spool and whose success closes the circuit, is in `relay`.
"""

import asyncio
import logging
import time
from datetime import datetime, timedelta
from typing import cast

from bridge.call import Answer, Question
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
from bridge.publishing.lazy_publisher import Destination, LazyPublisher
from bridge.publishing.relay import Relay
from bridge.publishing.spool.spool_file import SpoolFile
from bridge.publishing.spool.store import Store

_SHARE, _AT_MOST = 0.5, 1.0
"""The share of an event's remaining time that is reserved for the spool, and its maximum in seconds."""
_AT_LEAST = 0.1
"""Seconds that the spool has even if the deadline is nearer."""
FLUSH = 0.25
"""Seconds that each step of `close()` may take."""

log = logging.getLogger("bridge")


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
        self._relay = Relay(self._store, broker, self._circuit, self._note, tell)
        self._relaying: asyncio.Task[None] | None = None
        self._publishing: set[asyncio.Task[object]] = set()
        self._at_broker: set[asyncio.Task[object]] = set()
        self._cut: set[asyncio.Task[object]] = set()

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

    async def ask(self, question: Question, *, deadline: Deadline) -> Answer:
        """Ask the broker a question, and return its answer. Calls are never spooled. Raise `CallError`."""
        return await self._broker.ask(question, deadline=deadline)

    async def close(self) -> None:
        """Wait `FLUSH` seconds for confirms, then spool the events without one. End the relay after its batch; close
        the file and the broker."""
        if await _still_running(self._publishing):
            self._note(Observation.SILENCE, "this process ends")
            await _still_running(self._publishing)
        if self._relaying is not None:
            self._relay.stop()
            await _still_running({self._relaying})
            self._relaying.cancel()
            await _still_running({self._relaying})
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
            raise DeferUnconfirmed(event.id, "not confirmed when the broker did not answer another event") from None
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


async def _still_running(tasks: "set[asyncio.Task[object]] | set[asyncio.Task[None]]") -> bool:
    """Wait at most `FLUSH` seconds for the tasks; return True if some still run."""
    return bool(tasks) and bool((await asyncio.wait(tasks, timeout=FLUSH))[1])
