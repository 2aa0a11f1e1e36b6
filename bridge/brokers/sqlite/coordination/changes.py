"""Wakes the tasks of this process that wait for a change of the database, by this process or by another one."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bridge.local_database.database import Database
from bridge.local_database.lock_file import is_held, remove_if_free
from bridge.local_database.private_files import FileAccess
from bridge.local_database.wakeups import LISTENER_MARK, Wakeup


class Changes:
    """The waiting tasks of one broker object."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: set[asyncio.Event] = set()

    def tell(self) -> None:
        """Wake the waiting tasks after this process has written something."""
        for event in self._waiting:
            event.set()

    @contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """Return an event that is set soon after each change, while the block runs. Raise `BrokerUnavailable` if no
        file can be created next to the database."""
        with self.watched_as() as (_, event):
            yield event

    @contextmanager
    def watched_as(self) -> Iterator[tuple[str, asyncio.Event]]:
        """Do as `watched` does, and return the name of this watcher too, for `is_watching`."""
        self._remove_left_over()
        event = asyncio.Event()
        wakeup = Wakeup.make(self._database.path, LISTENER_MARK)
        self._database.wakeups.own.add(wakeup.path)
        self._waiting.add(event)
        wakeup.listen(event.set)
        self._database.watch(event.set)
        try:
            yield wakeup.owner, event
        finally:
            self._database.unwatch(event.set)
            self._waiting.discard(event)
            self._database.wakeups.own.discard(wakeup.path)
            wakeup.end()

    def is_watching(self, name: str) -> bool:
        """Return True if the process with the watcher of this name lives, by the kernel's word. The watcher may be of
        any process."""
        path = self._database.path
        return is_held(path.with_name(f"{path.name}{LISTENER_MARK}{name}"), FileAccess.like(path))

    def _remove_left_over(self) -> None:
        """Remove the wake-up files of processes that were killed."""
        access = FileAccess.like(self._database.path)
        beginning = self._database.path.name + LISTENER_MARK
        with suppress(OSError):
            for entry in os.scandir(self._database.path.parent):
                if entry.name.startswith(beginning):
                    remove_if_free(self._database.path.with_name(entry.name), access)
