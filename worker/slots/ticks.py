"""Ticks: while a child has enough to do, what it writes is read now and then, and does not wake the worker.

Many replies are read at once then, and what follows from them is written at once: the next requests, the settlements.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

SHORTEST = 0.001
LONGEST = 0.0025
"""Seconds between two reads. A tick is about half of the work that the child has, so that the child need not wait."""

ENOUGH = 0.0014
"""Seconds of work that a child has at least while it is read in ticks."""


class Source(Protocol):
    """Something that a child writes, and the loop reads whenever there is something."""

    def watch(self, *, by_loop: bool) -> None:
        """Let the loop read, or not any more. Do nothing after the end of the source."""


class Ticks:
    """Reads sources in ticks while the child has `ENOUGH` work. `work` returns the seconds of work that it has,
    and `read` reads all that has come from the sources."""

    def __init__(self, work: Callable[[], float], read: Callable[[], None], *sources: Source) -> None:
        self._work = work
        self._read_all = read
        self._sources = sources
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Begin with ticks if the child has enough to do."""
        if self._timer is None and (tick := self._tick()) is not None:
            for source in self._sources:
                source.watch(by_loop=False)
            self._timer = self._loop.call_later(tick, self._read)

    def end(self) -> None:
        """Let the loop read again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            for source in self._sources:
                source.watch(by_loop=True)

    def _tick(self) -> float | None:
        """Return the seconds of the next tick; None if the child has too little to do."""
        work = self._work()
        return min(max(work / 2, SHORTEST), LONGEST) if work >= ENOUGH else None

    def _read(self) -> None:
        tick = self._tick()
        self._read_all()
        if self._timer is None:
            return  # ended by what was read
        if tick is not None:
            self._timer = self._loop.call_later(tick, self._read)
        else:
            self.end()
