"""Bells: how a process that has written something tells the workers of other processes at once. A worker's lock file is
a FIFO, and a byte in it wakes its event loop. Only a courtesy: whoever is not rung looks by itself a little later.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

MARK = ".worker-"
_JUST_NOW = 50_000_000


class Bells:
    """The bells beside one database. Used on the database thread alone, but for `own`."""

    def __init__(self, database: Path) -> None:
        self._folder = database.parent
        self._beginning = database.name + MARK
        self._seen_at = -1
        self._bells: list[Path] = []
        self.own: set[Path] = set()
        """Those of this process, which needs no ringing to know what it wrote."""

    def ring(self) -> None:
        """Ring all others. A bell that cannot be rung is full, or its worker has ended, or is another user's."""
        for bell in self._found():
            with suppress(OSError):
                descriptor = os.open(bell, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    os.write(descriptor, b"!")
                finally:
                    os.close(descriptor)

    def _found(self) -> list[Path]:
        """Return the others' bells; the folder, which may be large, is read again only when it has changed. Where it
        cannot be read now, those that were known are returned."""
        with suppress(OSError):
            changed_at = self._folder.stat().st_mtime_ns
            # The clock of a folder goes in steps of some milliseconds: one that has just changed may change unseen.
            if changed_at != self._seen_at or time.time_ns() - changed_at < _JUST_NOW:
                names = [entry.name for entry in os.scandir(self._folder) if entry.name.startswith(self._beginning)]
                self._seen_at = changed_at
                self._bells = [self._folder / name for name in names]
        return [bell for bell in self._bells if bell not in self.own]
