"""Finds out if other processes have a database file open, and which of them this user can see."""

import os
from contextlib import suppress
from pathlib import Path


def is_open_elsewhere(path: Path) -> bool:
    """Return True if another process has the file open. To be asked when this process has closed it: the connection
    that is closed last removes the journal next to the file."""
    return path.with_name(f"{path.name}-wal").exists()


def openers(path: Path) -> list[str]:
    """Return the processes of this user that have the file open, as `gunicorn (pid 4711)`. On a system without /proc
    none is found."""
    found: list[str] = []
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda each: int(each.name)):
        with suppress(OSError):  # it has ended, or belongs to another user
            if int(process.name) != os.getpid() and any(each.readlink() == path for each in (process / "fd").iterdir()):
                name = (process / "comm").read_text(errors="backslashreplace").strip()
                found.append(f"{name} (pid {process.name})")
    return found
