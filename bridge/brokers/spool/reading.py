"""How much a spool holds, for whoever only looks: no file is made, and what is in one stays as it is."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bridge.brokers.sqlite.connection import translated
from bridge.brokers.sqlite.schema import VERSION, Schema
from bridge.errors import BrokerRefused, BrokerUnavailable
from bridge.event import moment

_BUSY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Spooled:
    """What is in a spool: events, when the oldest of them was deferred, and the bytes that count for `spool_limit`."""

    events: int = 0
    oldest: datetime | None = None
    bytes: int = 0


def spool_schema(namespace: str) -> Schema:
    """Return the names of a namespace's spool. Its tables are its own, even in a file that is a broker as well."""
    return Schema(f"{namespace}.spool")


def spooled(path: Path, namespace: str) -> Spooled:
    """Return what this namespace's spool holds; a file that is not there holds nothing. Raise `BrokerUnavailable` where
    it cannot be read, `BrokerRefused` where its tables are another version's."""
    try:
        if not path.exists():
            return Spooled()
        # Not mode=ro: that would leave SQLite's further files behind, where it is the last to close this one.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)) as connection:
            schema = spool_schema(namespace)
            version = schema.version_in(connection)
            if version not in (None, VERSION):
                raise BrokerRefused(f"spool {path}: its tables are of version {version}, this program knows {VERSION}")
            return summary(connection, schema) if version else Spooled()
    except sqlite3.Error as error:
        raise translated(error, path) from error
    except OSError as error:
        raise BrokerUnavailable(f"spool {path}: {error.strerror}") from error


def summary(connection: sqlite3.Connection, schema: Schema) -> Spooled:
    """Return what is in the tables now."""
    (events,) = connection.execute(f"SELECT count(*) FROM {schema.event}").fetchone()
    first = connection.execute(f"SELECT head FROM {schema.event} ORDER BY number LIMIT 1").fetchone()
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return Spooled(events, None if first is None else _time_in(first[0]), (pages - free) * size)


def _time_in(head: str) -> datetime | None:
    """Return when the event was deferred; None where the head, a newer program's, does not say it in our way."""
    try:
        return moment(json.loads(head)["time"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
