"""Opens a connection to a database file with the durability that the contract promises, and translates its errors.

`database` owns the only connection of a process.
"""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from bridge.errors import BrokerRefused, BrokerUnavailable
from bridge.local_database.one_name import check_one_name
from bridge.local_database.private_files import make_database_file

BUSY_SECONDS, BUSY_GROWTH, BUSY_AT_MOST = 0.0002, 1.25, 0.001
"""Seconds between the first two attempts to use a busy file, by what each wait grows, and at most. A writer that syncs
one commit after the other frees the file only for moments, which a process with longer waits misses. The caller
sleeps, and not SQLite: its handler sleeps longer each time, and under gevent or eventlet, where the caller is a
greenlet, a sleep within SQLite stops the whole process."""
_WAL_BYTES_KEPT = 64 * 1024 * 1024
_WRITES_REFUSED = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT}


Connection = sqlite3.Connection
"""The argument of a function that works on the file. Only this package and the embedded broker import `sqlite3`."""


class Tables(Protocol):
    """The tables that a program needs in a file."""

    def create(self, connection: sqlite3.Connection) -> None:
        """Create missing tables in the transaction that is open. Raise `BrokerRefused` if the existing tables are of
        another version."""


class WriteRefused(BrokerUnavailable):
    """The file was opened but refused a write (full disk, damage, permissions). Its contents are unchanged."""


def connect(
    path: Path, tables: Tables, limit: int | None = None, *, creates: bool = True, group: int | None = None
) -> sqlite3.Connection:
    """Return a connection to the file, and create missing tables. The connection commits nothing by itself, and does
    not wait for other processes. At `limit` bytes, writes fail as on a full disk. Raise `sqlite3.Error`, or
    `BrokerUnavailable` or `BrokerRefused` if the file cannot be used.

    If `creates`, a missing file is created, for this user and the `group`. SQLite gives its further files the same mode
    and owner."""
    check_one_name(path)
    try:
        if creates:
            make_database_file(path, group)
        elif not path.exists():
            makers = "the app and bridge-worker make it"
            raise BrokerUnavailable(f"there is no SQLite database {path}: {makers}; give --config or --broker-url")
    except OSError as error:
        raise BrokerUnavailable(f"SQLite database {path}: {error.strerror}{_cause(path)}") from error
    # check_same_thread: the database thread uses the connection, but a thread that forks closes it.
    connection = _existing(path, 0, check_same_thread=False)
    try:
        _set_up(connection, tables, limit)
    except (BrokerRefused, BrokerUnavailable) as error:
        connection.close()
        raise type(error)(f"SQLite database {path}: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, tables: Tables, limit: int | None) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise BrokerUnavailable(f"WAL cannot be used there (journal mode {mode!r})")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
    if limit is not None:
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count = {max(limit // page, 1)}")
    connection.execute("BEGIN IMMEDIATE")
    tables.create(connection)
    connection.execute("COMMIT")


@contextmanager
def existing(path: Path, busy_seconds: float) -> Iterator[Connection]:
    """Open an existing database file for reading, and close it after the block. Wait at most `busy_seconds` for other
    processes. Raise `BrokerUnavailable` for an error of SQLite, also for one in the block. Raise `BrokerRefused` for a
    file that must not be opened."""
    check_one_name(path)
    try:
        with closing(_existing(path, busy_seconds)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise translated(error, path) from error


def _existing(path: Path, busy_seconds: float, *, check_same_thread: bool = True) -> sqlite3.Connection:
    # Not mode=ro: the last connection to the file would not remove SQLite's -wal and -shm files.
    uri = f"{path.as_uri()}?mode=rw"
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=busy_seconds, check_same_thread=check_same_thread
    )


def file_at(path: Path) -> tuple[int, int] | None:
    """Return the device and inode of the file at this path; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def is_busy(error: BaseException) -> bool:
    """Return True if another process uses the file now, so that trying again helps."""
    return isinstance(error, sqlite3.Error) and _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(error: sqlite3.Error, path: Path) -> BrokerUnavailable:
    """Return SQLite's error as an error of the bridge, whose message names the file."""
    sentence = f"SQLite database {path}: {error}{_cause(path)}"
    return WriteRefused(sentence) if _code(error) in _WRITES_REFUSED else BrokerUnavailable(sentence)


def _code(error: sqlite3.Error) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)  # an error of the Python module has no code
    return None if code is None else code & 0xFF


def _cause(path: Path) -> str:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return " (there is no such file)" if path.parent.is_dir() else f" (there is no directory {path.parent})"
    except OSError as error:
        return f" ({error.strerror})"
    return " (it is a directory)" if stat.S_ISDIR(found.st_mode) else ""
