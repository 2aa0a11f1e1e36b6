"""Ticks: while a child has enough to do, what it writes is read once in a millisecond, and does not wake the worker.

Many replies are read at once then, and what follows from them is written at once: the next requests, the settlements.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

TICK = 0.001
"""Seconds between two reads."""


class Source(Protocol):
    """Something that a child writes, and the loop reads whenever there is something."""

    def watch(self, *, by_loop: bool) -> None:
        """Let the loop read, or not any more. Do nothing after the end of the source."""

    def read(self) -> None:
        """Read all that has come."""


class Ticks:
    """Reads sources in ticks while `has_enough` returns True: the child has work for more than a tick."""

    def __init__(self, has_enough: Callable[[], bool], *sources: Source) -> None:
        self._has_enough = has_enough
        self._sources = sources
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Begin with ticks if the child has enough to do."""
        if self._timer is None and self._has_enough():
            for source in self._sources:
                source.watch(by_loop=False)
            self._timer = self._loop.call_later(TICK, self._read)

    def end(self) -> None:
        """Let the loop read again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            for source in self._sources:
                source.watch(by_loop=True)

    def _read(self) -> None:
        enough = self._has_enough()
        for source in self._sources:
            source.read()
        if self._timer is None:
            return  # ended by what was read
        if enough:
            self._timer = self._loop.call_later(TICK, self._read)
        else:
            self.end()
