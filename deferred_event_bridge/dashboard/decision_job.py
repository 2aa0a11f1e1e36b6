"""A redrive or a discard that was begun on the page: it runs in a thread of this process, one at a time, and can be
seen and stopped while it runs. The ledger records each decision, so nothing is lost if the process ends."""

import asyncio
import logging
import threading
from collections.abc import Collection
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from bridge.config.settings import Settings
from bridge.console.site_options import existing_broker
from bridge.errors import BridgeError
from bridge.ledger import Dead, Filter
from dead_letter.choosing import LetterReader
from dead_letter.deciding import Tally, decide, discarding, redriving

log = logging.getLogger(__name__)

SKIPPED_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Order:
    """An order to redrive or discard the letters with these numbers, if they are still open. `interval` is the
    least time in seconds between two letters."""

    id: str
    verb: Literal["redrive", "discard"]
    numbers: Collection[int] = field(repr=False)
    by_number: bool
    interval: float
    who: str
    why: str


class Busy(Exception):
    """Another order runs in this process."""


class DecisionJob:
    """An order that runs, or has ended. `error` is the reason why it ended early, empty if it did not."""

    def __init__(self, settings: Settings, order: Order) -> None:
        self.order = order
        self.began = datetime.now(UTC)
        self.ended: datetime | None = None
        self.error = ""
        self.total = len(order.numbers)
        self.tally = Tally()
        self._settings = settings
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wished = asyncio.Event()

    @property
    def stopping(self) -> bool:
        """True from when somebody has stopped it."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End after the current letter."""
        self._stop.set()
        if self._loop is not None and self.ended is None:
            try:
                self._loop.call_soon_threadsafe(self._wished.set)
            except RuntimeError:
                log.debug("the order %s has ended meanwhile", self.order.id)

    def run(self) -> None:
        """Carry out the order; return when it has ended."""
        try:
            asyncio.run(self._run())
        except BridgeError as error:
            self.error = str(error)
        except Exception as error:
            log.exception("internal error in the order %s; it ends", self.order.id)
            self.error = f"internal error: {type(error).__name__}: {error}"
        self.ended = datetime.now(UTC)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._stop.is_set():
            return
        order, redrives = self.order, self.order.verb == "redrive"
        wanted = tuple(map(str, order.numbers)) if order.by_number else Filter()
        async with existing_broker(self._settings) as broker:
            ledger = broker.ledger()
            async with ledger.deciding() as decisions:
                choice = await LetterReader(wanted, self.began, for_redrive=redrives).read_new(ledger)
                numbers = frozenset(order.numbers)
                letters: list[Dead] = [letter for letter in choice.letters if letter.number in numbers]
                self.total = len(letters)
                async with aclosing(ledger.letters(letter.number for letter in letters)) as contents:
                    verb = (
                        redriving(contents, decisions, order.who, order.why)
                        if redrives
                        else discarding(decisions, order.who, order.why)
                    )
                    await decide(
                        letters, verb, self.tally, interval=order.interval, stop=self._wished, tell=lambda *_: None
                    )


class DecisionJobs:
    """The orders of this process, the newest last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: list[DecisionJob] = []

    def start(self, settings: Settings, order: Order) -> DecisionJob:
        """Begin an order. If its id is known already, return that one: a form that is sent twice acts once. Raise
        `Busy`."""
        with self._lock:
            known = self.find(order.id)
            if known is not None:
                return known
            if any(each.ended is None for each in self._jobs):
                raise Busy("Another redrive or discard runs: stop it, or wait until it has ended.")
            job = DecisionJob(settings, order)
            self._jobs = [*self._jobs[-9:], job]
        threading.Thread(target=job.run, name=f"bridge-dashboard-{order.verb}", daemon=True).start()
        return job

    def find(self, job_id: str) -> DecisionJob | None:
        """Return the order with this id, None if this process has none."""
        return next((each for each in self._jobs if each.order.id == job_id), None)

    def all(self) -> list[DecisionJob]:
        """Return the orders, the newest first."""
        return self._jobs[::-1]
