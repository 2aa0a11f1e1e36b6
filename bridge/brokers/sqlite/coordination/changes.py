"""Wakes the tasks of this process that wait for a change of the database, by this process or by another one."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bridge.local_database.database import Database
from bridge.local_database.lock_file import is_held, remove_if_free
from bridge.local_database.private_files import FileAccess
from bridge.local_database.wakeups import CALLER_MARK, LISTENER_MARK, MAILBOX_MARK, SERVER_MARK, Wakeup


class Changes:
    """The waiting tasks of one broker object. A mark of `local_database.wakeups` says what a task waits for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[asyncio.Event, str] = {}

    def tell(self, mark: str) -> None:
        """Wake the waiting tasks with this mark after this process has written something for them."""
        for event, waits_for in self._waiting.items():
            if waits_for == mark:
                event.set()

    @contextmanager
    def watched(self, mark: str = LISTENER_MARK) -> Iterator[asyncio.Event]:
        """Return an event that is set soon after each change, while the block runs. Raise `BrokerUnavailable` if no
        file can be created next to the database."""
        with self.watched_as(mark) as (_, event):
            yield event

    @contextmanager
    def watched_as(self, mark: str) -> Iterator[tuple[str, asyncio.Event]]:
        """Do as `watched` does, and return the name of this watcher too, for `is_served_by`."""
        self._remove_left_over()
        event = asyncio.Event()
        wakeup = Wakeup.make(self._database.path, mark)
        self._database.wakeups.own.add(wakeup.path)
        self._waiting[event] = mark
        wakeup.listen(event.set)
        self._database.watch(event.set)
        try:
            yield wakeup.owner, event
        finally:
            self._database.unwatch(event.set)
            del self._waiting[event]
            self._database.wakeups.own.discard(wakeup.path)
            wakeup.end()

    def is_served_by(self, name: str) -> bool:
        """Return True if the process that serves calls as the watcher of this name lives, by the kernel's word. The
        watcher may be of any process."""
        return self.lives(SERVER_MARK, name)

    def lives(self, mark: str, name: str) -> bool:
        """Return True if the process of the watcher of this mark and name lives, by the kernel's word."""
        path = self._database.path
        return is_held(path.with_name(f"{path.name}{mark}{name}"), FileAccess.like(path))

    def _remove_left_over(self) -> None:
        """Remove the wake-up files of processes that were killed."""
        access, path = FileAccess.like(self._database.path), self._database.path
        beginnings = tuple(path.name + mark for mark in (LISTENER_MARK, SERVER_MARK, CALLER_MARK, MAILBOX_MARK))
        with suppress(OSError):
            for entry in os.scandir(path.parent):
                if entry.name.startswith(beginnings):
                    remove_if_free(path.with_name(entry.name), access)
