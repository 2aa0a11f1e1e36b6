"""The move: what the old file holds goes to the new broker in passes, until there is nothing left to move."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from pathlib import Path

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.emptying import Catch, Emptying
from bridge.brokers.opening import open_to_empty
from bridge.config.settings import Settings
from bridge.errors import BrokerUnavailable
from bridge.local_database.openers import is_open_elsewhere, openers
from bridge.logger import log
from worker.moving.decisions import DecisionsMove
from worker.moving.events import EventsMove
from worker.moving.letters import LettersMove
from worker.moving.messages import MessagesMove
from worker.moving.tally import Kind, Tally

CLAIM = "moving"
"""The claim on the old file that one `bridge-move` has at a time."""

LOOK_SECONDS = 0.5
"""Seconds between two looks while something is waited for."""

WATCH_SECONDS = 2.0
"""Seconds between two looks at an old file that is empty, and that others have open."""

PROGRESS = 10_000
"""Events between two log lines about the progress."""


@dataclass(frozen=True, slots=True)
class OldFile:
    """The file that is emptied."""

    url: str
    path: Path
    namespace: str
    group: int | None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Broker, Emptying]]:
        """Open the file, and close it after the block."""
        broker, emptying = open_to_empty(self.url, self.namespace, self.group)
        try:
            yield broker, emptying
        finally:
            try:
                await emptying.close()
            finally:
                await broker.close()


@dataclass(frozen=True, slots=True)
class Report:
    """The end of a move. `left` is what the old file still has. `kept` has the reasons for what the new broker refused.
    `open_elsewhere`: another process has the file open and may write to it; `openers` are those that are known."""

    moved: Mapping[Kind, int]
    left: Mapping[Kind, int]
    kept: Mapping[str, str]
    unanswered: int
    open_elsewhere: bool
    openers: Sequence[str]

    @property
    def complete(self) -> bool:
        """True if nothing is left, and nobody can write to the old file any more."""
        return not any(self.left.values()) and not self.open_elsewhere


class _After(Enum):
    """What follows a pass: it is tried `AGAIN` soon, or after something is awaited that `WAITS`, or it is at `REST`."""

    AGAIN = auto()
    WAITS = auto()
    REST = auto()


class Move:
    """Moves one file to one broker, whose queues are declared."""

    def __init__(self, old: OldFile, new: Broker, settings: Settings, stop: asyncio.Event) -> None:
        self._old = old
        self._new = new
        self._queues = settings.queues()
        self._stop = stop
        self._said = ""
        self._reported = 0
        tally = self._tally = Tally()
        self._publisher = new.publisher()
        self._ledger = new.ledger()
        self._mailboxes = new.mailboxes()
        ordered = frozenset(queue.name for queue in self._queues if queue.ordered)
        self._decisions = DecisionsMove(new, settings.values.namespace, settings.ledger_keys(), tally)
        self._events = EventsMove(self._publisher, ordered, tally)
        self._letters = LettersMove(self._ledger, new.name, tally)
        self._messages = MessagesMove(self._mailboxes, tally)

    async def run(self, *, watch: bool) -> Report:
        """Move everything, and report. With `watch`, go on until nobody has the file open; else end as soon as nothing
        is left that can be moved now. In both cases wait for the workers of the old file to end, for the retry that an
        ordered queue waits for, and for a new broker that is away. The event `stop` ends it after the batch in hand."""
        try:
            while True:
                async with self._old.opened() as (broker, emptying), broker.claim(CLAIM):
                    await broker.declare(self._queues)  # what is due is routed to the queues of the new site
                    await self._until_rest(broker, emptying)
                others = is_open_elsewhere(self._old.path)
                # Counted after that question: a process that has just closed the file may have written to it before.
                left = await self._count_left()
                report = self._report(left, others)
                if report.complete or not watch or self._stop.is_set():
                    return report
                self._say("watching the old file, because other processes have it open, or something is left in it")
                await self._pause(WATCH_SECONDS)
        finally:
            await self._publisher.close()
            await self._ledger.close()
            await self._mailboxes.close()

    async def _until_rest(self, broker: Broker, emptying: Emptying) -> None:
        while not self._stop.is_set():
            after = await self._pass(broker, emptying)
            if after is _After.REST:
                return
            await self._pause(LOOK_SECONDS)

    async def _pass(self, broker: Broker, emptying: Emptying) -> _After:
        """Move once what can be moved now."""
        try:
            await self._decisions.copy(broker, self._old.namespace)
        except BrokerUnavailable as error:
            log.warning("what was decided about queues and events is copied first, and that has to wait: %s", error)
            return _After.AGAIN
        self._tally.forget_kept()
        await self._events.begin(emptying)
        while True:
            catch, taken = await self._events.batch(emptying)
            self._note_progress()
            if not taken:
                return _After.AGAIN
            if self._stop.is_set() or not catch.events:
                break
        if not self._stop.is_set() and not await self._letters.move(broker.ledger()):
            return _After.AGAIN
        mailboxes = (await emptying.stock()).messages
        if not self._stop.is_set() and not await self._messages.move(broker.mailboxes(), mailboxes):
            return _After.AGAIN
        return _After.AGAIN if self._events.full else self._awaited(catch)

    def _awaited(self, catch: Catch) -> _After:
        """Return whether something has to be waited for, and say so."""
        if catch.consumers:
            self._say(
                f"{catch.consumers} consumers still take events from the old file: end the workers that serve it."
                " They finish what they have in hand; the rest is moved then"
            )
            return _After.WAITS
        if catch.waits:
            queue, until = min(catch.waits.items(), key=lambda each: each[1])
            self._say(
                f"the first event of the ordered queue {queue} waits for its retry until {_minute(until)}; the events"
                " of that queue are moved then, in their order"
            )
            return _After.WAITS
        return _After.REST

    async def _count_left(self) -> Mapping[Kind, int]:
        async with self._old.opened() as (broker, emptying):
            stock = await emptying.stock()
            await self._letters.look(broker.ledger())
        return Counter(
            {
                Kind.DUE: sum(stock.due.values()),
                Kind.DELAYED: stock.delayed,
                Kind.RETRYING: sum(stock.retries.values()),
                Kind.LETTERS: self._letters.left,
                Kind.MESSAGES: sum(stock.messages.values()),
            }
        )

    def _report(self, left: Mapping[Kind, int], others: bool) -> Report:
        tally = self._tally
        who = openers(self._old.path) if others else []
        return Report(tally.moved, left, tally.kept, tally.unanswered, others, who)

    def _note_progress(self) -> None:
        moved = sum(self._tally.moved[kind] for kind in (Kind.DUE, Kind.DELAYED, Kind.RETRYING))
        if moved // PROGRESS > self._reported:
            self._reported = moved // PROGRESS
            log.info("%s events are moved", f"{moved:,}")

    def _say(self, sentence: str) -> None:
        """Log a sentence, unless it was the last one."""
        if sentence != self._said:
            self._said = sentence
            log.info("%s", sentence)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
