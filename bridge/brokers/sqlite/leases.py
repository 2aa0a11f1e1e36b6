"""Leases: what a consumer has taken is its own while it holds the lock on its file beside the database. When it ends,
the kernel lets go of the lock, and whoever sweeps next gives back what it held. No clock, no renewal.
"""

import asyncio
import os
import sqlite3
import stat
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from bridge.brokers.sqlite.bells import MARK
from bridge.brokers.sqlite.lock_file import LockFile, remove_if_free
from bridge.brokers.sqlite.schema import Schema
from bridge.errors import BrokerUnavailable


class Lease:
    """One consumer's right to what it takes. `owner` is its name in the table, never used again. Its lock file is the
    consumer's bell as well."""

    def __init__(self, owner: str, lock: LockFile) -> None:
        self.owner = owner
        self.bell = lock.path
        self._lock = lock
        self._listening: asyncio.AbstractEventLoop | None = None

    @classmethod
    def begin(cls, database: Path) -> Self:
        """Begin one. Raise `BrokerUnavailable` where no file can be made beside the database."""
        while True:
            owner = uuid.uuid4().hex
            path = database.with_name(f"{database.name}{MARK}{owner}")
            try:
                with suppress(OSError):  # a file system without FIFOs: it will be a lock, and no bell
                    os.mkfifo(path)
                lock = LockFile.acquire(path)
            except OSError as error:
                raise BrokerUnavailable(f"lock file {path}: {error.strerror}") from error
            if lock is not None:  # else a sweep was faster than our lock, and has removed the file
                return cls(owner, lock)

    def listen(self, rung: Callable[[], None]) -> None:
        """Call this on the running loop whenever the bell is rung."""
        if not stat.S_ISFIFO(os.fstat(self._lock.descriptor).st_mode):
            return
        self._listening = asyncio.get_running_loop()
        self._listening.add_reader(self._lock.descriptor, self._hear, rung)

    def end(self) -> None:
        """End it: what it still holds is anybody's."""
        if self._listening is not None:
            self._listening.remove_reader(self._lock.descriptor)
            self._listening = None
        self._lock.release()

    def _hear(self, rung: Callable[[], None]) -> None:
        with suppress(BlockingIOError):
            os.read(self._lock.descriptor, 65_536)
        rung()


def sweep(connection: sqlite3.Connection, schema: Schema, database: Path) -> list[str]:
    """Remove the lock files of consumers that have ended, and return those among them that hold something."""
    # The owners first: who is in the table had a file before, so a file that is missing below is missing for good.
    owners = [
        owner for (owner,) in connection.execute(f"SELECT DISTINCT owner FROM {schema.delivery} WHERE owner NOTNULL")
    ]
    beginning = database.name + MARK
    names = [entry.name for entry in os.scandir(database.parent) if entry.name.startswith(beginning)]
    alive = {name.removeprefix(beginning) for name in names if not remove_if_free(database.with_name(name))}
    return [owner for owner in owners if owner not in alive]


def let_go(connection: sqlite3.Connection, schema: Schema, owners: Sequence[str]) -> None:
    """Make all that these owners hold anybody's, at once. It counts as delivered."""
    connection.executemany(f"UPDATE {schema.delivery} SET owner = NULL WHERE owner = ?", [(owner,) for owner in owners])
