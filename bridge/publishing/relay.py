"""The relay: publishes the events of one store in order, and deletes each event after its confirm.

The store is a spool, an outbox, or another place with the promise of `stores.RelayStore`. A process may relay several
stores to one publisher, each with a relay of its own.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime

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
from bridge.publishing.circuit import REMIND_SECONDS, Observation
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.posting import posted, publish_or_dead_letter
from bridge.publishing.stores import Key, RelayStore, StoredEvent

BATCH = 256
"""Most events in flight at a time. They go in order on one channel, and leave room for events of requests."""
SOON = 0.3
"""Seconds until the next turn if another process holds the lock."""
PASS_SECONDS = 1.0
"""Seconds after which a turn ends in which the broker refused an event, so that refused and earlier events are tried
again although further events arrive all the time."""
RELAY_BACK_OFF = BackOff(first=0.2, at_most=5.0)
REACH_SECONDS, ANSWER_SECONDS = 2.0, 10.0
"""Seconds that the broker has in one turn to be reached, and to answer a batch."""

log = logging.getLogger("bridge")


class Relay:
    """Relays events from a store to a publisher while `run()` runs, and at once after `wake()`.

    `tell` is called with a `Relayed` for each event that the broker has confirmed.
    """

    def __init__(self, store: RelayStore, publisher: LazyPublisher, tell: Tell) -> None:
        self._store = store
        self._publisher = publisher
        self._tell = tell
        self._woken = asyncio.Event()
        self._stopping = False
        self._confirming = False  # the broker has confirmed the last batch
        self._published: set[Key] = set()  # confirmed, and not deleted yet
        self._aside = Aside(store.name)
        self._taken: dict[Key, set[str]] = {}  # the queues that have the event, for each event that a queue has refused
        self._count = 0
        self._failures = 0
        self._last_warning, self._warned_at = "", 0.0

    def wake(self) -> None:
        """Look at the store now."""
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
            try:
                return await self._turn()
            finally:
                if not self._published:  # another relay would publish events again that could not be deleted
                    self._store.unlock()
        except BridgeError as error:
            await self._note_trouble(error)
        except Exception:  # go on: nothing else relays these events
            log.exception("internal error while relaying %s; trying again", self._store.name)
        self._confirming = False
        return self._back_off()

    def _back_off(self) -> float:
        self._failures += 1
        return RELAY_BACK_OFF.wait(self._failures, random.random())

    async def _turn(self) -> float:
        if not await self._read(0, 1):
            return self._empty()
        await self._reach()  # before the lock, so that no process without a broker holds it
        if not self._store.lock():
            return SOON
        return await self._drain()

    async def _note_trouble(self, error: BridgeError) -> None:
        """Log an error that ended a turn, and again every minute while it lasts."""
        if time.monotonic() - self._warned_at >= REMIND_SECONDS:
            self._last_warning = ""
        self._warn(f"the events in {self._store.name} stay there and are tried again: {error}")

    def _observe(self, observation: Observation, why: object) -> None:
        """Take note of an observation of the broker."""

    async def _reach(self) -> None:
        try:
            await self._publisher.ready(_in(REACH_SECONDS))
        except BrokerUnavailable as error:
            self._observe(Observation.SILENCE, error)
            raise
        self._observe(Observation.REACHED, "")
        self._failures = 0

    async def _drain(self) -> float:
        after, kept, refused_at = 0, 0, 0.0
        # One event first: if the broker does not confirm after all, only one event may run twice.
        while batch := await self._read(after, BATCH if self._confirming else 1):
            refused = len(batch) - await self._relay(batch)
            if refused and not kept:
                refused_at = time.monotonic()
            kept += refused
            if kept:  # otherwise from the beginning: an event with a lower number may have been committed later
                after = batch[-1].number
            if self._stopping:
                return 0.0
            if kept and time.monotonic() - refused_at > PASS_SECONDS:
                break
        if kept:
            return self._back_off()
        return self._empty()

    def _empty(self) -> float:
        """Note that the store is empty; return the seconds until the next look at it."""
        self._log_empty(self._count)
        self._count, self._last_warning = 0, ""
        return self._store.look_every

    def _log_empty(self, count: int) -> None:
        """Log that the store is empty, if the log has said before that it could not be emptied."""
        if self._last_warning:
            log.info("%s is empty again; %d events were published", self._store.name, count)

    async def _read(self, after: int, most: int) -> list[StoredEvent]:
        """Return at most `most` events after number `after` that this process can relay. Events that were published and
        not deleted yet are deleted first."""
        await self._delete_published()
        size = most
        while True:
            batch = await self._store.read(after, size)
            relayable = [stored for stored in batch if not self._aside.holds(stored.key)]
            if relayable or not batch:
                return relayable[:most]
            after = batch[-1].number
            size = BATCH  # not one by one past events that are aside

    async def _delete_published(self) -> None:
        if self._published:
            await self._store.remove(self._published)
            self._count += len(self._published)
            self._published.clear()

    async def _relay(self, batch: Sequence[StoredEvent]) -> int:
        """Publish a batch, delete the confirmed events, and return how many were confirmed. Raise if the broker does
        not answer."""
        try:
            answers = await asyncio.gather(*self._begun(batch), return_exceptions=True)
            if any(answer is not True for answer in answers):
                answers = await asyncio.gather(*map(self._settled, batch, answers), return_exceptions=True)
        finally:
            await self._delete_published()  # on cancellation too, so that no confirmed event is published again
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        self._confirming = True
        return answers.count(True)

    def _begun(self, batch: Sequence[StoredEvent]) -> Iterator[Awaitable[bool]]:
        """Publish each event; yield what to await for whether it is confirmed. The errors are those of `_publish`, or
        the publisher's own. Once an event has to wait for something, those after it wait too, so that the order is
        kept."""
        waits = False
        for stored in batch:
            at_once = None if waits else self._at_once(stored)
            waits = waits or at_once is None
            yield self._publish(stored) if at_once is None else at_once

    def _at_once(self, stored: StoredEvent) -> Awaitable[bool] | None:
        """Publish an event without a task of its own; return None if something has to be waited for."""
        try:
            event, due = stored.read()
        except UnreadableEnvelope:
            return None
        if stored.key in self._taken:
            return None
        posting = self._publisher.at_once(event, due, deadline=_in(ANSWER_SECONDS))
        return None if posting is None else posted(posting, lambda: self._confirm(stored, event, due))

    async def _settled(self, stored: StoredEvent, answer: bool | BaseException) -> bool:
        """Return whether an event is confirmed, after what has to follow from the broker's answer."""
        if isinstance(answer, BridgeError):
            return await self._publish(stored, answer)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _publish(self, stored: StoredEvent, refusal: BridgeError | None = None) -> bool:
        """Publish an event; return False if the broker does not take it. Raise if the broker does not answer. `refusal`
        is the answer to the event if it was published already."""
        try:
            event, due = stored.read()
            if stored.key in self._taken and refusal is None:
                await self._publisher.put_into_each(event, due, self._taken[stored.key], ANSWER_SECONDS)
            else:
                await publish_or_dead_letter(self._publisher, event, due, refusal, ANSWER_SECONDS)
        except (UnreadableEnvelope, TooLarge, DeferForbidden) as error:
            self._aside.add(stored, error)
            if isinstance(error, DeferForbidden):
                self._answered()
        except (DeferRejected, PartlyRejected, Unroutable) as error:
            if isinstance(error, PartlyRejected):  # from now on the event goes to each queue separately
                self._taken[stored.key] = set()
            self._answered()
            self._warn(f"{self._store.name} keeps events and tries them again: {error}")
        except (BrokerUnavailable, DeferUnconfirmed) as error:
            self._observe(Observation.SILENCE, error)
            raise
        else:
            self._confirm(stored, event, due)
            return True
        return False

    def _confirm(self, stored: StoredEvent, event: Event, due: datetime | None) -> None:
        self._answered()
        self._taken.pop(stored.key, None)
        self._aside.forget(stored.key)
        self._published.add(stored.key)
        self._tell(Relayed(event, due))

    def _answered(self) -> None:
        self._observe(Observation.ANSWER, "")

    def _warn(self, sentence: str) -> None:
        """Log a warning, unless the last warning was the same."""
        if sentence != self._last_warning:
            self._last_warning, self._warned_at = sentence, time.monotonic()
            log.warning("%s", sentence)


def _in(seconds: float) -> Deadline:
    return Deadline.after(seconds, time.monotonic())
