"""Finds the commits of other processes that sent no wake-up, and tells those who watch the file.

Used on the database thread, except `add`, `remove` and `watched`.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress

LOOK_SECONDS = 0.05
"""Seconds between two looks. `wakeups` wakes a process sooner, but not every program sends wake-ups."""


class ForeignCommits:
    """The watchers of one file, each with the event loop on which it is called."""

    def __init__(self) -> None:
        self._watchers: dict[Callable[[], None], asyncio.AbstractEventLoop] = {}
        self._seen_version = 0
        self._next_look = 0.0

    @property
    def watched(self) -> bool:
        """True if there is a watcher, so that somebody has to look."""
        return bool(self._watchers)

    def add(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` on the running loop soon after another process has changed the file."""
        self._watchers[watcher] = asyncio.get_running_loop()
        self._next_look = 0.0

    def remove(self, watcher: Callable[[], None]) -> None:
        """Stop calling this watcher."""
        self._watchers.pop(watcher, None)

    def look(self, connection: sqlite3.Connection, now: float) -> None:
        """Call the watchers if another connection has committed since the last look, which was `LOOK_SECONDS` ago.
        `now`: monotonic seconds. Raise `sqlite3.Error`."""
        if not self._watchers or now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._seen_version:
            self._seen_version = version
            for watcher, loop in tuple(self._watchers.items()):
                with suppress(RuntimeError):  # the loop is closed, so no task waits for it
                    loop.call_soon_threadsafe(watcher)

    def forget(self) -> None:
        """Call the watchers at the next look: a new connection has other versions."""
        self._seen_version = 0
