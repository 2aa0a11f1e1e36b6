"""Judges the write-ahead log of a database: a reader that does not end keeps it from being moved into the file, and it
grows without limit."""

import shlex
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bridge.brokers.contract.findings import Finding, ok, some, wrong

PINNED_BYTES = 4 * 1024 * 1024
"""Bytes that stay in the log while it is being moved. SQLite starts to move them at about this size."""
LOOKS, BETWEEN = 4, 0.25
_READ_LOCKS = range(123, 128)
"""The bytes of the -shm file that readers lock; see "Locking" in https://sqlite.org/walformat.html."""
_MIB = 1024 * 1024


def journal(connection: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    """Yield the finding about the log. If much of it cannot be moved, look again for a second: readers end."""
    left = 0
    readers: set[int] | None = None
    for look in range(LOOKS):
        left = _left_in_log(connection)
        if left < PINNED_BYTES:
            break
        readers = _readers(path) if readers is None else readers & _readers(path)
        if look < LOOKS - 1:
            time.sleep(BETWEEN)
    yield judge(path, left, sorted(readers or ()))


def judge(path: Path, left: int, readers: Sequence[int]) -> Finding:
    """Judge the bytes that stay in the log. `readers` are the processes that have read all the time."""
    if left < PINNED_BYTES:
        return ok("journal", "the write-ahead log is moved into the file")
    who = f"process {some([str(each) for each in readers])}" if readers else "a process"
    sentence = f"{who} reads without end, so {left / _MIB:.1f} MiB of the write-ahead log cannot be moved into the file"
    step = f"end its transaction, or the process: {_shown(readers, path)}"
    return wrong("journal", sentence, step)


def _shown(readers: Sequence[int], path: Path) -> str:
    return f"ps -fp {','.join(map(str, readers))}" if readers else shlex.join(["fuser", "-v", f"{path}-shm"])


def _left_in_log(connection: sqlite3.Connection) -> int:
    """Move what can be moved, as every program does from time to time. Return the bytes that stay in the log."""
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    _, pages, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    left: int = max(pages - moved, 0) * size
    return left


def _readers(path: Path) -> set[int]:
    """Return the processes that hold a reader's lock now, from lines like
    `2: POSIX  ADVISORY  READ 512 08:01:1234 123 123`."""
    try:
        inode = path.with_name(f"{path.name}-shm").stat().st_ino
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return set()
    return {
        int(words[4])
        for words in lines
        if words[1] in ("POSIX", "OFDLCK")
        and words[3] == "READ"
        and int(words[5].rpartition(":")[2]) == inode
        and int(words[6]) in _READ_LOCKS
    }
