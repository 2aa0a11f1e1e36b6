"""A claim: a locked file next to the database. The kernel releases the lock when its holder ends, also by a kill."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.brokers.contract.claims import ClaimTaken
from bridge.errors import BrokerUnavailable
from bridge.local_database.lock_file import LockFile, holders
from bridge.local_database.private_files import FileAccess

LOOK_SECONDS = 0.5
"""Seconds between two checks whether an operator has removed the file, so that another process can get the claim."""


class SqliteClaim:
    """A claim that is a locked file; see the contract."""

    def __init__(self, lock: LockFile) -> None:
        self._lock = lock

    @property
    def held(self) -> bool:
        return self._lock.in_place

    async def until_lost(self) -> None:
        while True:
            if not self.held:
                return
            await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def hold(path: Path, access: FileAccess, taken: str) -> AsyncIterator[SqliteClaim]:
    """Hold the claim that is this file. Raise `ClaimTaken` with the sentence `taken` and the holder's process id if
    another process holds it, `BrokerUnavailable` if the file cannot be created."""
    try:
        lock = LockFile.acquire(path, access)
    except OSError as error:
        raise BrokerUnavailable(f"lock file {path}: {error.strerror}") from error
    if lock is None:
        pid = _holder(path) or "unknown"
        raise ClaimTaken(f"{taken} (pid {pid})", f"pid {pid}")
    try:
        yield SqliteClaim(lock)
    finally:
        lock.release()


def _holder(path: Path) -> int | None:
    """Return the holder's process id by the kernel's word. A text in the file could be written by anybody."""
    try:
        return holders().get(path.lstat().st_ino)
    except FileNotFoundError:
        return None  # the holder has just released the claim
