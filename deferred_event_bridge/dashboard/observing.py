"""Watches the site from a thread of its own, so that a screen is drawn at once from what was seen last.

It looks every two seconds while somebody looks at the page, and every fifteen seconds otherwise. It begins with the
first request of its process, because neither a thread nor an open SQLite file survives a fork; `bridge-web`, which does
not fork, begins at once.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from bridge.brokers.any_broker.plan_log import PlanLog
from bridge.brokers.any_broker.roll_call import ask_site
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.ledger import Ledger
from bridge.config.settings import Settings
from bridge.console.site_options import existing_broker
from bridge.errors import BridgeError
from bridge.ledger import Entry
from bridge.plans import Plans, PlanStory
from bridge.registry import Roll
from deferred_event_bridge.dashboard.failures_now import FailuresNow, GroupNow
from deferred_event_bridge.dashboard.ledger_fold import LedgerFold
from worker.control.controls_log import ControlsLog
from worker.operating.looks import Look
from worker.operating.queue_acts import Overview, overview_of

log = logging.getLogger(__name__)

WATCHED_EVERY, EVERY = 2.0, 15.0
"""Seconds between two looks: while somebody looks, and while nobody does."""

LOOKED_AT_FOR = 60.0
"""Seconds after a request for which somebody counts as looking."""

RATES_OVER = 10.0
"""Seconds over which rates are measured."""

POINTS = 300
"""Looks that are kept for the charts: ten minutes of looks every two seconds."""

FIRST_LOOK = 0.08
"""The longest time in seconds that a request waits for the first look."""

NEXT_LOOK = 1.5
"""The longest time in seconds that an act waits until its effect is seen."""

LOOK_SECONDS = 15.0
"""The longest time of a look, but for the ledger and the history."""

CLOSE_SECONDS = 5.0

PLANS_KEPT = 50

BATCH = 1000
"""Entries of the ledger that are added at once."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Seen:
    """The state of the site as it was seen at one moment. `time` is that of the last good look, None before it. `roll`
    is None until the workers were asked. `trouble` is the reason why the last look failed, empty if it did not.
    `groups` are the failures, the largest first. `points` has the seconds of a clock and the ready events of each queue
    then."""

    time: datetime | None = None
    overview: Overview | None = None
    roll: Roll | None = None
    trouble: str = ""
    ledger_read: bool = False
    groups: tuple[GroupNow, ...] = ()
    plans: tuple[PlanStory, ...] = ()
    points: tuple[tuple[float, dict[str, int]], ...] = ()


class Observer:
    """The watching thread of a process, and what it has seen."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = LedgerFold()
        self._seen = Seen()
        self._process = 0
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._closed = False
        self._first_look = threading.Event()
        self._looked = threading.Condition()
        self._looks = 0

    def begin(self) -> None:
        """Begin to watch in this process, if it does not watch yet."""
        with self._lock:
            if self._process != os.getpid():
                self._begin()

    def seen(self) -> Seen:
        """Return what was seen last. Before the first look has ended, a call waits for it for a moment."""
        idle = time.monotonic() - self._looked_at > LOOKED_AT_FOR
        self._looked_at = time.monotonic()
        self.begin()
        if not self._first_look.is_set():
            self._first_look.wait(FIRST_LOOK)
        elif idle:
            self._wake()
        return self._seen

    @property
    def last(self) -> Seen:
        """Return the last observation, without waiting."""
        return self._seen

    def look_again(self) -> None:
        """Look again at once, because something was changed, and wait for that for a moment."""
        before, end = self._looks, time.monotonic() + NEXT_LOOK
        with self._looked:
            # The look that runs now may have begun before the change, so the one after it counts too.
            while self._looks < before + 2 and (left := end - time.monotonic()) > 0:
                self._wake()
                self._looked.wait(left)

    def ask(self, question: Callable[[Broker], Awaitable[R]], seconds: float = 20.0) -> R:
        """Ask the broker something in this thread. Raise `BridgeError`, or `TimeoutError` after so many seconds."""

        async def asked() -> R:
            async with asyncio.timeout(seconds), existing_broker(self.settings) as broker:
                return await question(broker)

        return asyncio.run(asked())

    def close(self) -> None:
        """Stop watching; a second call does nothing."""
        self._closed = True
        if self._thread is not None and self._process == os.getpid():
            self._wake()
            self._thread.join(CLOSE_SECONDS)

    def _begin(self) -> None:
        self._process = os.getpid()
        self.ledger, self._seen = LedgerFold(), Seen()
        self._loop, self._woken, self._first_look = None, asyncio.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="bridge-dashboard", daemon=True)
        self._thread.start()
        # Otherwise the interpreter ends while the thread is in the middle of something.
        atexit.register(self.close)

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing watches any more
                loop.call_soon_threadsafe(self._woken.set)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._closed:
            try:
                await self._watch()
            except BridgeError as error:
                self._seen = replace(self._seen, trouble=str(error))
            except TimeoutError:
                self._seen = replace(self._seen, trouble=f"it did not answer within {LOOK_SECONDS:g} s")
            except Exception as error:
                log.exception("internal error while watching the site; watching again")
                self._seen = replace(self._seen, trouble=f"internal error: {type(error).__name__}: {error}")
            self._first_look.set()
            await self._pause()

    async def _pause(self) -> None:
        """Wait until the next look is due, or until somebody wakes this thread."""
        watched = time.monotonic() - self._looked_at < LOOKED_AT_FOR
        with contextlib.suppress(TimeoutError):
            if not self._closed:
                await asyncio.wait_for(self._woken.wait(), WATCHED_EVERY if watched else EVERY)
        self._woken.clear()

    async def _watch(self) -> None:
        """Look until the broker fails."""
        settings, values = self.settings, self.settings.values
        async with existing_broker(settings) as broker:
            controls = ControlsLog(broker, values.namespace, settings.ledger_keys())
            ledger, failures = broker.ledger(), FailuresNow(broker, settings)
            plan_log = PlanLog(broker, values.namespace, settings.ledger_keys())
            looks: deque[Look] = deque(maxlen=POINTS)
            while not self._closed:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._look(broker, controls, looks)
                self._first_look.set()
                plans, *_ = await asyncio.gather(plan_log.read(), self._read_ledger(ledger), failures.read())
                groups = failures.groups(self.ledger, datetime.now(UTC))
                self._seen = replace(self._seen, ledger_read=True, groups=groups, plans=_newest(plans))
                with self._looked:
                    self._looks += 1
                    self._looked.notify_all()
                await self._pause()

    async def _look(self, broker: Broker, controls: ControlsLog, looks: deque[Look]) -> None:
        """Count the queues, ask the workers, and read the new controls."""
        queues = self.settings.queues()
        at = asyncio.get_running_loop().time()
        workers = asyncio.create_task(ask_site(broker))
        try:
            counting = broker.operator().counts([queue.name for queue in queues])
            counts, _ = await asyncio.gather(counting, controls.read_controls())
            if self._seen.overview is None:  # show this much before the workers have answered
                look = Look(at, counts, None)
                now = datetime.now(UTC)
                overview = overview_of(broker.name, queues, (look, look, ""), controls.controls, now)
                self._seen = replace(self._seen, time=now, overview=overview)
                self._first_look.set()
            roll = await workers
        finally:
            workers.cancel()
        looks.append(Look(at, counts, {each.instance: each for each in roll.workers}))
        now, before = datetime.now(UTC), _before(looks)
        overview = overview_of(broker.name, queues, (before, looks[-1], ""), controls.controls, now)
        self._seen = replace(self._seen, time=now, overview=overview, roll=roll, trouble="", points=_points(looks))

    async def _read_ledger(self, ledger: Ledger) -> None:
        """Add the new entries of the ledger."""
        entries: list[Entry] = []
        async for entry in ledger.entries(self.ledger.last):
            entries.append(entry)
            if len(entries) == BATCH:
                self.ledger.add(entries)
                entries = []
        self.ledger.add(entries)


def _before(looks: deque[Look]) -> Look:
    """Return the look with which the last one is compared: the youngest that is `RATES_OVER` old, else the oldest."""
    last = looks[-1].time
    return next((look for look in reversed(looks) if last - look.time >= RATES_OVER), looks[0])


def _newest(plans: Plans) -> tuple[PlanStory, ...]:
    """Return copies of the newest plans, the newest first: the fold goes on while a screen is drawn."""
    return tuple(replace(story) for story in list(plans.stories.values())[: -PLANS_KEPT - 1 : -1])


def _points(looks: deque[Look]) -> tuple[tuple[float, dict[str, int]], ...]:
    return tuple(
        (look.time, {name: sum(counts.ready.values()) for name, counts in look.counts.queues.items()}) for look in looks
    )
