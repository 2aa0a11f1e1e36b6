"""The count of a spool's events, for programs that only read it. No file is made or changed."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bridge.brokers.sqlite.queues.schema import VERSION, Schema
from bridge.errors import BrokerRefused
from bridge.event import parse_time
from bridge.local_database.connection import Connection, existing
from bridge.looking import is_missing

_BUSY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Spooled:
    """The contents of a spool: events, the time of the oldest, and the bytes that count for `spool_limit`."""

    events: int = 0
    oldest: datetime | None = None
    bytes: int = 0


def spool_schema(namespace: str) -> Schema:
    """Return the table names of a namespace's spool. They differ from a broker's, even in the same file."""
    return Schema(f"{namespace}.spool")


def spooled(path: Path, namespace: str) -> Spooled:
    """Return the contents of this namespace's spool; no events if there is no file. Raise `BrokerUnavailable` if the
    file cannot be read, `BrokerRefused` if its tables are of another version."""
    if is_missing(path):
        return Spooled()
    with existing(path, _BUSY_SECONDS) as connection:
        schema = spool_schema(namespace)
        version = schema.version_in(connection)
        if version not in (None, VERSION):
            raise BrokerRefused(f"spool {path}: its tables are of version {version}, this program knows {VERSION}")
        return summary(connection, schema) if version else Spooled()


def summary(connection: Connection, schema: Schema) -> Spooled:
    """Return the contents of the tables now."""
    (events,) = connection.execute(f"SELECT count(*) FROM {schema.event}").fetchone()
    first = connection.execute(f"SELECT head FROM {schema.event} ORDER BY number LIMIT 1").fetchone()
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return Spooled(events, None if first is None else _time_in(first[0]), (pages - free) * size)


def _time_in(head: str) -> datetime | None:
    """Return the time when the event was deferred; None if a newer program wrote the head in another way."""
    try:
        return parse_time(json.loads(head)["time"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
