"""A connection to the file, as durable as the promise asks, and what SQLite's errors mean for whoever asked.

Not a pool and no thread: `database` owns the one connection that a process has.
"""

import sqlite3
from pathlib import Path

from bridge.brokers.sqlite.schema import Schema
from bridge.errors import BrokerRefused, BrokerUnavailable

# Asked again and again by whoever needs the file, so that a short wait stays short: left to itself, SQLite's own
# waiting sleeps longer each time, and soon oversleeps by 50 ms what takes others a few.
BUSY_SECONDS = 0.002
_WAL_BYTES_KEPT = 64 * 1024 * 1024
_WRITES_REFUSED = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT}


class WriteRefused(BrokerUnavailable):
    """The file was opened and does not take what was to be written; it is as it was before."""


def connect(path: Path, schema: Schema, limit: int | None = None) -> sqlite3.Connection:
    """Return a connection to the file, its tables made. It commits nothing by itself, and waits `BUSY_SECONDS` for
    others. At `limit` bytes the file is full for it, as at the end of a disk. Raise `sqlite3.Error`, or
    `BrokerUnavailable` or `BrokerRefused` where the file cannot serve."""
    # One thread uses it, and whichever forks closes it.
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        _set_up(connection, schema, limit)
    except (BrokerRefused, BrokerUnavailable) as error:
        connection.close()
        raise type(error)(f"SQLite database {path}: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, schema: Schema, limit: int | None) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise BrokerUnavailable(f"WAL cannot be used there (journal mode {mode!r})")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
    if limit is not None:
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count = {max(limit // page, 1)}")
    connection.execute("BEGIN IMMEDIATE")
    schema.create(connection)
    connection.execute("COMMIT")


def file_at(path: Path) -> tuple[int, int] | None:
    """Return which file is there, by device and inode; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def is_busy(error: BaseException) -> bool:
    """Tell whether another process has the file for now, so that trying again is all that is needed."""
    return isinstance(error, sqlite3.Error) and _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(error: sqlite3.Error, path: Path) -> BrokerUnavailable:
    """Return what SQLite's error means, in a sentence that names the file."""
    sentence = f"SQLite database {path}: {error}{_cause(path)}"
    return WriteRefused(sentence) if _code(error) in _WRITES_REFUSED else BrokerUnavailable(sentence)


def _code(error: sqlite3.Error) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)  # an error of the module itself has none
    return None if code is None else code & 0xFF


def _cause(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (there is no directory {path.parent})"
    if path.is_dir():
        return " (it is a directory)"
    return ""
