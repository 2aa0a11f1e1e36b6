"""A local index: a copy of a log's entries on this machine, for a log on another broker. It may be deleted at any time:
the next reading creates it again. Several processes may have it open.
"""

import hashlib
import logging
import os
import pwd
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bridge.errors import BrokerRefused
from bridge.local_database.private_files import make_database_file, make_private_folder

log = logging.getLogger(__name__)

R = TypeVar("R")


class IndexTable(Protocol[R]):
    """A table of numbered entries that can be the index of a log: `LedgerTable` for the ledger, else `LogTable`."""

    def create(self) -> None: ...

    def close(self) -> None: ...

    def last_number(self) -> int | None: ...

    def entries(self, after: int = ..., last: int = ..., limit: int = ...) -> Iterator[R]: ...

    def add_many(self, entries: Iterable[R]) -> None: ...

    def forget_before(self, number: int) -> None: ...


T = TypeVar("T", bound=IndexTable[Any])


def open_index(identity: str, table: Callable[[sqlite3.Connection], T]) -> T:
    """Return the index of the log that this text identifies. If the cache's folder cannot be written, return an index
    in memory, which has to be filled at each reading."""
    path: Path | None = None
    try:
        path = _path(identity)
        make_private_folder(path.parent)
        return open_index_file(path, table)
    except (OSError, BrokerRefused, sqlite3.OperationalError) as error:
        place = f"{path}: " if path is not None else ""
        log.warning("cannot use a local index of %s: %s%s; reading all from the broker", identity, place, error)
    except sqlite3.DatabaseError:
        return new_index(identity, table)
    return open_index_file(Path(":memory:"), table)


def new_index(identity: str, table: Callable[[sqlite3.Connection], T]) -> T:
    """Replace the index on disk by an empty one and return it. A process that has the old one open keeps it."""
    path = _path(identity)
    for part in ("", "-wal", "-shm"):
        path.with_name(path.name + part).unlink(missing_ok=True)
    return open_index_file(path, table)


def open_index_file(path: Path, table: Callable[[sqlite3.Connection], T]) -> T:
    """Open or create the index in this file. Raise `sqlite3.DatabaseError` if the file cannot be used, or
    `BrokerRefused` if it is a link or belongs to somebody else."""
    if str(path) != ":memory:":
        make_database_file(path, None)
    connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a crash takes what can be read again from the log
        opened = table(connection)
        opened.create()
    except BaseException:
        connection.close()
        raise
    return opened


def _path(identity: str) -> Path:
    """Return the path of the index in this user's cache. Raise `FileNotFoundError` if the user has no home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # the specification of XDG_CACHE_HOME says to ignore it then
        cache = _home() / ".cache"
    return cache / "deferred-event-bridge" / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.db"


def _home() -> Path:
    # Not Path.home(), for which an empty HOME is the root of the file system.
    try:
        home = Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError as error:
        raise FileNotFoundError("this user has no home directory, and XDG_CACHE_HOME is not set") from error
    if not home.is_absolute():
        raise FileNotFoundError(f"HOME is {str(home)!r}: expected an absolute path")
    return home
