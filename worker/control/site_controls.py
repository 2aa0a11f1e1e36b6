"""The controls of the site as a running worker knows them: read at the start, followed, and read again after the broker
was lost. Decides nothing: the gate and the take loop ask.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

from bridge.cancellations import Cancellation
from bridge.controls import Pause
from bridge.envelope import Envelope
from bridge.errors import BridgeError
from bridge.logger import log
from bridge.moments import Paused, Resumed, Tell
from worker.control.controls_log import ControlsLog, new_pause

CLOCK_READ_EVERY = 0.5
"""Seconds between two looks at the clock while a pause has an end: the clock may be set."""

KNOWN_AFTER = 1.0
"""Seconds after which the other workers know of a pause too."""

FOLLOW_AGAIN_AFTER = 1.0
"""Seconds until a log is followed again after the broker has refused."""

READ_AGAIN_EVERY = 0.5
"""Seconds between two tries to read the controls after the broker was lost."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SiteControls:
    """The pauses that hold now, and the cancelled events. `now` returns the time in UTC.

    `unknown` is True from the moment at which the broker was lost until the controls were read again: an operator may
    have paused a queue meanwhile, so no event may begin.
    """

    def __init__(self, logs: ControlsLog, tell: Tell, now: Callable[[], datetime] = _utc_now) -> None:
        self.pauses: tuple[Pause, ...] = ()
        self.unknown = False
        self._logs = logs
        self._tell = tell
        self._now = now
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._skipped = 0

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Read the controls, and follow them while the block runs. Raise `BrokerUnavailable` or `BrokerRefused` if they
        cannot be read at first."""
        await self._logs.read()
        self.newly_interrupted()  # nothing runs yet
        self._refresh()
        tasks = [self._spawn(self._follow(each)) for each in (self._follow_controls, self._follow_cancellations)]
        try:
            yield
        finally:
            if self._reading is not None:
                tasks.append(self._reading)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def cancellation(self, envelope: Envelope) -> Cancellation | None:
        """Return the cancellation because of which this event may not begin, None if it may."""
        return self._logs.cancellations.of(envelope)

    def newly_interrupted(self) -> frozenset[str]:
        """Return the ids of the events that must end although they run, since the last call."""
        return self._logs.newly_interrupted()

    def is_cancelled(self, event: str) -> bool:
        """Return whether the event with this id may have been cancelled."""
        return self._logs.cancellations.knows(event)

    def look(self, *, live: bool) -> None:
        """Note whether the broker is reached. After it was lost, the controls are read again."""
        if not live:
            self.unknown = True
        elif self.unknown and (self._reading is None or self._reading.done()):
            self._reading = self._spawn(self._read_again())

    async def changed(self) -> None:
        """Wait until the pauses have changed, or an event was cancelled. Tell the watchers of pauses."""
        while True:
            seconds = CLOCK_READ_EVERY if any(pause.until is not None for pause in self.pauses) else None
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                if self._refresh():
                    return
                continue
            self._changed.clear()
            self._refresh()
            return

    async def halt(self, queue: str, envelope: Envelope, why: str) -> bool:
        """Pause a queue because of an event, until a person resumes it. Return True when every worker knows of that, so
        that the event can return to its queue, and False if the decision could not be recorded."""
        event = envelope.event.id
        if any(pause.queue == queue and pause.event == event for pause in self.pauses):
            return True
        try:
            await self._logs.decide(new_pause(queue=queue, who="an event", why=why, event=event))
            await self._logs.read_controls()
        except BridgeError as error:
            log.warning("the queue %s cannot be paused for an event that halts it: %s", queue, error)
            return False
        self._refresh()
        self._changed.set()
        await asyncio.sleep(KNOWN_AFTER)
        return True

    def _refresh(self) -> bool:
        """Compute the pauses that hold now; return whether they have changed."""
        before, self.pauses = self.pauses, self._logs.controls.pauses(self._now())
        for pause in self.pauses:
            if pause not in before:
                log.warning("%s: %s; none of its events begins", pause.target, pause.reason)
                self._tell(Paused(pause))
        for pause in before:
            if pause not in self.pauses:
                log.info("%s: a pause has ended; its events begin again unless another pause holds", pause.target)
                self._tell(Resumed(pause))
        skipped = self._logs.controls.skipped + self._logs.cancellations.skipped
        if skipped > self._skipped:
            self._skipped = skipped
            log.warning("pauses, resumes, purges or cancellations that are damaged or not signed: %d; ignored", skipped)
        return before != self.pauses

    async def _follow(self, follow: Callable[[], Coroutine[Any, Any, None]]) -> NoReturn:
        """Follow a log without end: begin again if the broker refuses, as while an administrator makes the log anew."""
        logged = ""
        while True:
            try:
                await follow()
            except BridgeError as error:
                if str(error) != logged:
                    logged = str(error)
                    log.warning("the controls cannot be followed: %s; trying again", error)
            await asyncio.sleep(FOLLOW_AGAIN_AFTER)

    async def _follow_controls(self) -> None:
        async with self._logs.log_of_controls.follow(self._logs.controls_read) as records:
            async for record in records:
                self._logs.take_control(record)
                self._changed.set()

    async def _follow_cancellations(self) -> None:
        async with self._logs.log_of_cancellations.follow(self._logs.cancellations_read) as records:
            async for record in records:
                self._logs.take_cancellation(record)
                self._changed.set()

    async def _read_again(self) -> None:
        while True:
            try:
                await self._logs.read()
            except BridgeError as error:
                log.warning("the controls cannot be read: %s; no event begins, trying again", error)
                await asyncio.sleep(READ_AGAIN_EVERY)
            else:
                self.unknown = False
                self._changed.set()
                return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return asyncio.create_task(work)
