"""Watches the site from a thread of its own, so that a screen is drawn at once from what was seen last.

It looks every two seconds while somebody looks at the page, and every fifteen seconds otherwise. It begins with the
first request of its process, because neither a thread nor an open SQLite file survives a fork.
"""

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from bridge.brokers.any_broker.roll_call import ask_site
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.ledger import Ledger
from bridge.config.settings import Settings
from bridge.console.site_options import existing_broker
from bridge.errors import BridgeError
from bridge.ledger import Entry
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

FIRST_LOOK = 0.15
"""The longest time in seconds that the first request waits for the first look."""

NEXT_LOOK = 1.5
"""The longest time in seconds that an act waits until its effect is seen."""

BATCH = 1000
"""Entries of the ledger that are added at once."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen at one moment. `time` is that of the last good look, None before it. `roll` is None until the
    workers were asked. `trouble` is the reason why the last look failed, empty if it did not. `groups` are the
    failures, the largest first. `points` has the seconds of a clock and the ready events of each queue then."""

    time: datetime | None = None
    overview: Overview | None = None
    roll: Roll | None = None
    trouble: str = ""
    ledger_read: bool = False
    groups: tuple[GroupNow, ...] = ()
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
        self._first_look = threading.Event()
        self._wake = threading.Event()
        self._looked = threading.Condition()
        self._looks = 0

    def seen(self) -> Seen:
        """Return what was seen last. The first call of a process begins to watch, and waits for the first look for a
        moment."""
        idle = time.monotonic() - self._looked_at > LOOKED_AT_FOR
        self._looked_at = time.monotonic()
        with self._lock:
            begins = self._process != os.getpid()
            if begins:
                self._begin()
            elif idle:
                self._wake.set()
        if begins:
            self._first_look.wait(FIRST_LOOK)
        return self._seen

    def look_again(self) -> None:
        """Look again at once, because something was changed, and wait for that for a moment."""
        before = self._looks
        self._wake.set()
        end = time.monotonic() + NEXT_LOOK
        with self._looked:
            # The look that runs now may have begun before the change, so the one after it counts too.
            while self._looks < before + 2 and (left := end - time.monotonic()) > 0:
                self._wake.set()
                self._looked.wait(left)

    def ask(self, question: Callable[[Broker], Awaitable[R]], seconds: float = 20.0) -> R:
        """Ask the broker something in this thread. Raise `BridgeError`, or `TimeoutError` after so many seconds."""

        async def asked() -> R:
            async with asyncio.timeout(seconds), existing_broker(self.settings) as broker:
                return await question(broker)

        return asyncio.run(asked())

    def _begin(self) -> None:
        self._process = os.getpid()
        self.ledger, self._seen = LedgerFold(), Seen()
        self._first_look, self._wake = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="bridge-dashboard", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                asyncio.run(self._watch())
            except BridgeError as error:
                self._failed(str(error))
            except Exception as error:
                log.exception("internal error while watching the site; watching again")
                self._failed(f"internal error: {type(error).__name__}: {error}")
            self._first_look.set()
            self._wait()

    def _failed(self, why: str) -> None:
        seen = self._seen
        self._seen = replace(seen, trouble=why)

    def _wait(self) -> None:
        watched = time.monotonic() - self._looked_at < LOOKED_AT_FOR
        self._wake.wait(WATCHED_EVERY if watched else EVERY)
        self._wake.clear()

    async def _watch(self) -> None:
        """Look until the broker fails."""
        settings, values = self.settings, self.settings.values
        queues = settings.queues()
        looks: deque[Look] = deque(maxlen=POINTS)
        async with existing_broker(settings) as broker:
            controls = ControlsLog(broker, values.namespace, settings.ledger_keys())
            ledger, failures = broker.ledger(), FailuresNow(broker, settings)
            while True:
                at = asyncio.get_running_loop().time()
                workers = asyncio.create_task(ask_site(broker))
                try:
                    counts, _ = await asyncio.gather(
                        broker.operator().counts([queue.name for queue in queues]), controls.read_controls()
                    )
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
                seen = replace(self._seen, time=now, overview=overview, roll=roll, trouble="", points=_points(looks))
                self._seen = seen
                self._first_look.set()
                await asyncio.gather(self._read_ledger(ledger), failures.read())
                groups = await asyncio.to_thread(failures.groups, self.ledger, now)
                self._seen = replace(seen, ledger_read=True, groups=groups)
                with self._looked:
                    self._looks += 1
                    self._looked.notify_all()
                await asyncio.to_thread(self._wait)

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


def _points(looks: deque[Look]) -> tuple[tuple[float, dict[str, int]], ...]:
    return tuple(
        (look.time, {name: sum(counts.ready.values()) for name, counts in look.counts.queues.items()}) for look in looks
    )
