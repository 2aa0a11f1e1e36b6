"""The relay: publishes spooled events in order of arrival, and deletes each event after its confirm.

One process of a host relays at a time, by a lock. The other processes try the lock every `HEARTBEAT` seconds.
`spooling_publisher` decides which events are spooled.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from bridge.back_off import BackOff
from bridge.deadline import Deadline
from bridge.errors import (
    BridgeError,
    BrokerUnavailable,
    DeferForbidden,
    DeferRejected,
    DeferUnconfirmed,
    PartlyRejected,
    TooLarge,
    UnreadableEnvelope,
    Unroutable,
)
from bridge.event import Event
from bridge.moments import Relayed, Tell
from bridge.publishing.aside import Aside
from bridge.publishing.circuit import Circuit, Observation
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.spool.store import Key, SpooledEvent, Store

BATCH = 256
"""Most events in flight at a time. They go in order on one channel, and leave room for events of requests."""
HEARTBEAT = 2.0
"""Seconds between two looks for events of processes that have ended."""
SOON = 0.3
"""Seconds until the next turn if another process holds the lock."""
RELAY_BACK_OFF = BackOff(first=0.2, at_most=5.0)
REACH_SECONDS, ANSWER_SECONDS = 2.0, 10.0
"""Seconds that the broker has in one turn to be reached, and to answer a batch."""
A_MOMENT = timedelta(seconds=1)

log = logging.getLogger("bridge")

Note = Callable[[Observation, object], None]


class Relay:
    """Relays events from a store to a publisher while `run()` runs.

    `note` is called with each observation of the broker. `tell` is called with a `Relayed` for each event that the
    broker has confirmed.
    """

    def __init__(self, store: Store, publisher: LazyPublisher, circuit: Circuit, note: Note, tell: Tell) -> None:
        self._store = store
        self._publisher = publisher
        self._circuit = circuit
        self._note = note
        self._tell = tell
        self._woken = asyncio.Event()
        self._stopping = False
        self._proof: int | None = None  # the event that shows, when it leaves the spool, that the broker is back
        self._provable = False
        self._published: set[Key] = set()  # confirmed, and not deleted yet
        self._aside = Aside(store.path)
        self._taken: dict[Key, set[str]] = {}  # the queues that have the event, for each event that a queue has refused
        self._count = 0
        self._failures = 0
        self._last_warning = ""

    def opened(self, number: int | None) -> None:
        """Note that an event was spooled under this number, or could not be spooled (None).

        The first such event after the circuit opened is the proof: when it has left the spool, the broker is back.
        """
        if self._circuit.closed:
            self._woken.set()
        elif not self._provable:
            self._proof, self._provable = number, True
            self._woken.set()

    def stop(self) -> None:
        """End `run()` after the current batch."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Relay until `stop()` is called."""
        while not self._stopping:
            self._woken.clear()
            pause = await self._turn_or_back_off()
            if not self._stopping:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), pause)

    async def _turn_or_back_off(self) -> float:
        """Take a turn; return the seconds until the next one."""
        try:
            if self._circuit.remind(time.monotonic()):
                await self._remind()
            try:
                return await self._turn()
            finally:
                if not self._published:  # another relay would publish events again that could not be deleted
                    self._store.unlock()
        except BridgeError as error:
            if self._circuit.closed:  # an open circuit has its own log lines
                self._warn(f"the events in the spool {self._store.path} stay there and are tried again: {error}")
        except Exception:  # go on: nothing else relays the events of this process
            log.exception("internal error while relaying the spool %s; trying again", self._store.path)
        return self._back_off()

    def _back_off(self) -> float:
        self._failures += 1
        return RELAY_BACK_OFF.wait(self._failures, random.random())

    async def _turn(self) -> float:
        await self._delete_published()
        if self._circuit.closed:
            self._provable = False  # the proof belongs to an earlier opening of the circuit
            if not await self._read(0, 1):
                return HEARTBEAT
        await self._reach()  # before the lock, so that no process without a broker holds it
        if self._provable and await self._is_proved():
            self._answered()
        if not await self._read(0, 1):
            return HEARTBEAT
        if not self._store.lock():
            return SOON
        return await self._drain()

    async def _is_proved(self) -> bool:
        """Return True if another process has published the event that opened the circuit. Return True also if the spool
        cannot be read or took no event, because then it says nothing about the broker."""
        try:
            return self._proof is None or not await self._store.holds(self._proof)
        except BridgeError as error:
            self._warn(str(error))
            return True

    async def _reach(self) -> None:
        try:
            await self._publisher.ready(_in(REACH_SECONDS))
        except BrokerUnavailable as error:
            self._note(Observation.SILENCE, error)
            raise
        self._note(Observation.REACHED, "")
        self._failures = 0

    async def _drain(self) -> float:
        after, kept = 0, 0
        # One event first: if the broker does not confirm after all, only one event may run twice.
        while batch := await self._read(after, BATCH if after else 1):
            kept += len(batch) - await self._relay(batch)
            after = batch[-1].number
            if self._stopping:
                return 0.0
        if kept:
            return self._back_off()
        if self._count:
            log.info("%d events from the spool %s were published; it is empty again", self._count, self._store.path)
        self._count, self._last_warning = 0, ""
        return HEARTBEAT

    async def _read(self, after: int, most: int) -> list[SpooledEvent]:
        """Return at most `most` events after number `after` that this process can relay. Events that were published and
        not deleted yet are deleted first."""
        await self._delete_published()
        size = most
        while True:
            batch = await self._store.read(after, size)
            relayable = [spooled for spooled in batch if not self._aside.holds(spooled.key)]
            if relayable or not batch:
                return relayable[:most]
            after = batch[-1].number
            size = BATCH  # not one by one past events that are aside

    async def _delete_published(self) -> None:
        if self._published:
            await self._store.remove(self._published)
            self._count += len(self._published)
            self._published.clear()

    async def _relay(self, batch: Sequence[SpooledEvent]) -> int:
        """Publish a batch, delete the confirmed events, and return how many were confirmed. Raise if the broker does
        not answer."""
        try:
            results = await asyncio.gather(*map(self._publish, batch), return_exceptions=True)
        finally:
            await self._delete_published()  # on cancellation too, so that no confirmed event is published again
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results.count(True)

    async def _publish(self, spooled: SpooledEvent) -> bool:
        """Publish an event; return False if the broker does not take it. Raise if the broker does not answer."""
        try:
            event, due = spooled.read()
            if spooled.key in self._taken:
                await self._publisher.put_into_each(event, due, self._taken[spooled.key], ANSWER_SECONDS)
            else:
                await self._publish_or_dead_letter(event, due)
        except (UnreadableEnvelope, TooLarge, DeferForbidden) as error:
            self._aside.add(spooled, error)
            if isinstance(error, DeferForbidden):
                self._answered()
        except (DeferRejected, PartlyRejected, Unroutable) as error:
            if isinstance(error, PartlyRejected):  # from now on the event goes to each queue separately
                self._taken[spooled.key] = set()
            self._answered()
            self._warn(f"the spool {self._store.path} keeps events and tries them again: {error}")
        except (BrokerUnavailable, DeferUnconfirmed) as error:
            self._note(Observation.SILENCE, error)
            raise
        else:
            self._answered()
            self._taken.pop(spooled.key, None)
            self._aside.forget(spooled.key)
            self._published.add(spooled.key)
            self._tell(Relayed(event, due))
            return True
        return False

    async def _publish_or_dead_letter(self, event: Event, due: datetime | None) -> None:
        try:
            await self._publisher.publish(event, due, deadline=_in(ANSWER_SECONDS))
        except Unroutable:
            # A short delay makes the event a dead letter with the reason "unroutable" when it is due without a queue.
            await self._publisher.publish(event, datetime.now(UTC) + A_MOMENT, deadline=_in(ANSWER_SECONDS))

    async def _remind(self) -> None:
        content = await self._store.summary()
        age = (
            ""
            if content.oldest is None
            else f", the oldest {(datetime.now(UTC) - content.oldest).total_seconds():.0f} s old"
        )
        log.warning(
            "%s still does not answer: %d events in the spool %s%s",
            self._publisher.name,
            content.events,
            self._store.path,
            age,
        )

    def _answered(self) -> None:
        self._note(Observation.ANSWER, "")
        self._provable = False

    def _warn(self, sentence: str) -> None:
        """Log a warning, unless the last warning was the same."""
        if sentence != self._last_warning:
            self._last_warning = sentence
            log.warning("%s", sentence)


def _in(seconds: float) -> Deadline:
    return Deadline.after(seconds, time.monotonic())
