"""The file of a disposable local index of a ledger that is kept elsewhere: where it lies, and what if it is no use."""

import hashlib
import logging
import os
import sqlite3
from pathlib import Path

from bridge.brokers.sqlite.ledger_table import LedgerTable

log = logging.getLogger(__name__)


def open_index(ledger: str) -> LedgerTable:
    """Return the index of the ledger that this text identifies; one in memory, which is read anew each time, where
    the cache's folder cannot be written."""
    path = _path(ledger)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return LedgerTable.open(path)
    except (OSError, sqlite3.OperationalError) as error:
        log.warning("no local index of the dead letters: %s: %s", path, error)
    except sqlite3.DatabaseError:
        return new_index(ledger)
    return LedgerTable.open(Path(":memory:"))


def new_index(ledger: str) -> LedgerTable:
    """Return an empty index in the place of the one there is; who has that one open keeps it."""
    path = _path(ledger)
    for part in ("", "-wal", "-shm"):
        path.with_name(path.name + part).unlink(missing_ok=True)
    return LedgerTable.open(path)


def _path(ledger: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "deferred-event-bridge" / f"{hashlib.sha256(ledger.encode()).hexdigest()[:32]}.db"
