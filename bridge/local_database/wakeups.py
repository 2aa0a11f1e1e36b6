"""Wake-ups: a process that has written to a database wakes other processes at once. Each process that wants that has a
locked FIFO next to the database, and a byte in it wakes its event loop. Wake-ups only save time: a process that is not
woken checks the database by itself a little later.
"""

import asyncio
import os
import stat
import time
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Self

from bridge.errors import BrokerUnavailable
from bridge.local_database.lock_file import LockFile
from bridge.local_database.private_files import PRIVATE, FileAccess, set_mode

CONSUMER_MARK = ".worker-"
LISTENER_MARK = ".listener-"
SERVER_MARK = ".server-"
CALLER_MARK = ".caller-"
MAILBOX_MARK = ".mailbox-"
"""Whom a FIFO wakes: the part of its name between the database's name and the owner. A consumer, whose leases depend on
the lock; who follows logs or broadcasts; who takes calls; who waits for answers; who fetches from mailboxes."""

_JUST_NOW = 50_000_000


class Wakeup:
    """A FIFO of this process. Its name contains `owner`, a unique text."""

    def __init__(self, owner: str, lock: LockFile) -> None:
        self.owner = owner
        self.path = lock.path
        self._lock = lock
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def make(cls, database: Path, mark: str) -> Self:
        """Create a FIFO. Raise `BrokerUnavailable` if no file can be created next to the database."""
        while True:
            owner = uuid.uuid4().hex
            path = database.with_name(f"{database.name}{mark}{owner}")
            try:
                with suppress(OSError):  # on a file system without FIFOs, the file is only a lock
                    os.mkfifo(path, PRIVATE)
                    set_mode(path, PRIVATE)  # the umask may have taken bits away
                lock = LockFile.acquire(path, FileAccess.like(database))
            except OSError as error:
                raise BrokerUnavailable(f"lock file {path}: {error.strerror}") from error
            if lock is not None:  # else another process has removed the file before it was locked
                return cls(owner, lock)

    def listen(self, woken: Callable[[], None]) -> None:
        """Call `woken` on the running loop at each wake-up."""
        if not stat.S_ISFIFO(os.fstat(self._lock.descriptor).st_mode):
            return
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._lock.descriptor, self._read, woken)

    def end(self) -> None:
        """Remove the FIFO; a second call does nothing."""
        if self._loop is not None:
            self._loop.remove_reader(self._lock.descriptor)
            self._loop = None
        self._lock.release()

    def _read(self, woken: Callable[[], None]) -> None:
        with suppress(BlockingIOError):
            os.read(self._lock.descriptor, 65_536)
        woken()


class Wakeups:
    """The FIFOs next to one database. Used only on the database thread, except `own`."""

    def __init__(self, database: Path) -> None:
        self._folder = database.parent
        self._name = database.name
        self._seen_at = -1
        self._found: list[Path] = []
        self.own: set[Path] = set()
        """The FIFOs of this process, which are not written: it knows its own writes."""

    def wake_others(self, marks: Collection[str | None]) -> None:
        """Wake all other processes whose FIFO has one of these marks. A FIFO that cannot be written is skipped: it is
        full, its process has ended, or it belongs to another user."""
        beginnings = tuple(self._name + mark for mark in marks if mark is not None)
        if not beginnings:
            return
        for fifo in self._look():
            if not fifo.name.startswith(beginnings):
                continue
            with suppress(OSError):
                descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                        os.write(descriptor, b"!")
                finally:
                    os.close(descriptor)

    def _look(self) -> list[Path]:
        """Return the FIFOs of other processes. The folder, which may be large, is read only after it has changed. If it
        cannot be read now, return the FIFOs that were found before."""
        with suppress(OSError):
            changed_at = self._folder.stat().st_mtime_ns
            # The folder's time has steps of some milliseconds: soon after a change, the next one may not change it.
            if changed_at != self._seen_at or time.time_ns() - changed_at < _JUST_NOW:
                beginning = f"{self._name}."
                names = [entry.name for entry in os.scandir(self._folder) if entry.name.startswith(beginning)]
                self._seen_at = changed_at
                self._found = [self._folder / name for name in names]
        return [fifo for fifo in self._found if fifo not in self.own]
