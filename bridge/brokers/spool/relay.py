"""Relays what is spooled: publishes it, confirmed, in order of arrival, and only then deletes it. One process of a host
does so at a time, by a lock; the others look now and then whether it is their turn. When events are spooled at all is
decided in `publisher`.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from bridge.brokers.declared import DeclaredPublisher
from bridge.brokers.spool.circuit import Circuit, Sign
from bridge.brokers.spool.store import Key, SpooledEvent, Store
from bridge.errors import (
    BridgeError,
    BrokerUnavailable,
    DeferRejected,
    DeferUnconfirmed,
    PartlyRejected,
    TooLarge,
    UnreadableEnvelope,
    Unroutable,
)
from bridge.event import Event

BATCH = 256
"""Events in flight at a time: in order on one channel, with room left for requests."""
HEARTBEAT = 2.0
"""Seconds between looks for what processes left behind that have ended."""
SOON = 0.3
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
REACH_SECONDS, ANSWER_SECONDS = 2.0, 10.0
"""How long the broker may take to be reached in one turn, and to answer a batch."""
A_MOMENT = timedelta(seconds=1)

log = logging.getLogger("bridge")

Note = Callable[[Sign, object], None]


class Relay:
    """Relays from a store to a publisher for as long as `run()` runs. `note` hears of each sign of the broker."""

    def __init__(self, store: Store, publisher: DeclaredPublisher, circuit: Circuit, note: Note) -> None:
        self._store = store
        self._publisher = publisher
        self._circuit = circuit
        self._note = note
        self._woken = asyncio.Event()
        self._stopping = False
        self._proof: int | None = None
        self._provable = False
        self._published: set[Key] = set()
        self._aside: set[Key] = set()
        self._taken: dict[Key, set[str]] = {}  # of events that a queue has refused: which queues have them
        self._count = 0
        self._failures = 0
        self._said = ""

    def opened(self, number: int | None) -> None:
        """An event was spooled under this number, or could not be (None). The first one since the circuit is open is
        what shows, by leaving the spool, that the broker is back."""
        if self._circuit.closed:
            self._woken.set()
        elif not self._provable:
            self._proof, self._provable = number, True
            self._woken.set()

    def stop(self) -> None:
        """End `run()` behind the batch that is under way."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Relay, again and again, until it is stopped."""
        while not self._stopping:
            self._woken.clear()
            pause = await self._turn_or_back_off()
            if not self._stopping:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), pause)

    async def _turn_or_back_off(self) -> float:
        """Take a turn, and return how many seconds may pass before the next one."""
        try:
            if self._circuit.remind(time.monotonic()):
                await self._remind()
            try:
                return await self._turn()
            finally:
                if not self._published:  # else whoever relays next would publish again what could not be deleted
                    self._store.unlock()
        except BridgeError as error:
            if self._circuit.closed:  # else the log has it, and is reminded
                self._say(f"what is in the spool {self._store.path} waits: {error}")
        except Exception:  # a defect: without its relay, the process would keep its events for itself
            log.exception("relaying the spool broke; it is tried again")
        return self._back_off()

    def _back_off(self) -> float:
        self._failures += 1
        return random.uniform(0.5, 1.0) * min(FIRST_PAUSE * 2.0 ** min(self._failures, 10), LONGEST_PAUSE)

    async def _turn(self) -> float:
        await self._delete_published()
        if self._circuit.closed:
            self._provable = False  # of an earlier opening
            if not await self._read(0, 1):
                return HEARTBEAT
        await self._reach()  # before the lock, so that nobody holds it who has not the broker
        if self._provable and await self._is_proved():
            self._answered()
        if not await self._read(0, 1):
            return HEARTBEAT
        if not self._store.lock():
            return SOON
        return await self._drain()

    async def _is_proved(self) -> bool:
        """Tell whether another process has published what opened our circuit. A spool that takes nothing and cannot be
        read holds nothing against the broker."""
        try:
            return self._proof is None or not await self._store.holds(self._proof)
        except BridgeError as error:
            self._say(str(error))
            return True

    async def _reach(self) -> None:
        try:
            await self._publisher.ready(REACH_SECONDS)
        except BrokerUnavailable as error:
            self._note(Sign.SILENCE, error)
            raise
        self._note(Sign.REACHED, "")
        self._failures = 0

    async def _drain(self) -> float:
        after, kept = 0, 0
        # One event is tried before many are: should the broker be silent after all, no more than one may run twice.
        while batch := await self._read(after, BATCH if after else 1):
            kept += len(batch) - await self._relay(batch)
            after = batch[-1].number
            if self._stopping:
                return 0.0
        if kept:
            return self._back_off()
        if self._count:
            log.info("%d events from the spool %s were published; empty again", self._count, self._store.path)
        self._count, self._said = 0, ""
        return HEARTBEAT

    async def _read(self, after: int, most: int) -> list[SpooledEvent]:
        """Return the next events that can be relayed. What was published and could not be deleted is deleted first."""
        await self._delete_published()
        while True:
            batch = await self._store.read(after, most)
            left = [spooled for spooled in batch if spooled.key not in self._aside]
            if left or not batch:
                return left
            after = batch[-1].number

    async def _delete_published(self) -> None:
        if self._published:
            await self._store.remove(self._published)
            self._count += len(self._published)
            self._published.clear()

    async def _relay(self, batch: Sequence[SpooledEvent]) -> int:
        """Publish a batch, delete what was confirmed, and return how many those are. Raise where there is no answer."""
        try:
            results = await asyncio.gather(*map(self._publish, batch), return_exceptions=True)
        finally:
            await self._delete_published()  # where it is cancelled as well: what is confirmed is not published again
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results.count(True)

    async def _publish(self, spooled: SpooledEvent) -> bool:
        """Publish an event; False where the broker does not take it. Raise where it does not answer."""
        try:
            event, due = spooled.read()
            if spooled.key in self._taken:
                await self._publisher.put_into_each(event, due, self._taken[spooled.key], within=ANSWER_SECONDS)
            else:
                await self._publish_or_bury(event, due)
        except (UnreadableEnvelope, TooLarge) as error:
            self._aside.add(spooled.key)
            log.warning("event %d of the spool %s stays there: %s", spooled.number, self._store.path, error)
        except (DeferRejected, PartlyRejected, Unroutable) as error:
            if isinstance(error, PartlyRejected):  # from now on no queue that has it is given it again
                self._taken[spooled.key] = set()
            self._answered()
            self._say(f"the spool {self._store.path} keeps events: {error}")
        except (BrokerUnavailable, DeferUnconfirmed) as error:
            self._note(Sign.SILENCE, error)
            raise
        else:
            self._answered()
            self._taken.pop(spooled.key, None)
            self._published.add(spooled.key)
            return True
        return False

    async def _publish_or_bury(self, event: Event, due: datetime | None) -> None:
        try:
            await self._publisher.publish(event, due, within=ANSWER_SECONDS)
        except Unroutable:
            # By way of a short delay: what is due and finds no queue becomes a dead letter, "unroutable".
            await self._publisher.publish(event, datetime.now(UTC) + A_MOMENT, within=ANSWER_SECONDS)

    async def _remind(self) -> None:
        there = await self._store.summary()
        age = (
            ""
            if there.oldest is None
            else f", the oldest {(datetime.now(UTC) - there.oldest).total_seconds():.0f} s old"
        )
        log.warning(
            "%s still does not answer: %d events in the spool %s%s",
            self._publisher.name,
            there.events,
            self._store.path,
            age,
        )

    def _answered(self) -> None:
        self._note(Sign.ANSWER, "")
        self._provable = False

    def _say(self, sentence: str) -> None:
        """Say it in the log, unless it was the last thing said."""
        if sentence != self._said:
            self._said = sentence
            log.warning("%s", sentence)
