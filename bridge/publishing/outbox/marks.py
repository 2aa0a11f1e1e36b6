"""The marks of listeners that ran once, and the keys of events: `bridge-relay` and `bridge-outbox prune` delete old
ones. The app's side, which makes them, is `app_adapter.sqlalchemy`.
"""

from datetime import UTC, datetime

from sqlalchemy import Connection, delete, select, tuple_

from bridge.publishing.outbox.tables import Tables

BATCH = 1000
"""Marks that are deleted in one transaction."""


def prune(tables: Tables, before: datetime, connection: Connection) -> int:
    """Delete at most `BATCH` marks that were made before this time (UTC), the oldest first; return how many."""
    connection.rollback()
    columns = tables.once.c
    old = select(columns.event_id, columns.listener).where(columns.done_at < before.replace(tzinfo=None))
    marks = [tuple(mark) for mark in connection.execute(old.order_by(columns.done_at).limit(BATCH))]
    if marks:
        connection.execute(delete(tables.once).where(tuple_(columns.event_id, columns.listener).in_(marks)))
        connection.commit()
    return len(marks)


def prune_keys(tables: Tables, connection: Connection) -> None:
    """Delete the keys that no event holds any more."""
    now = datetime.now(UTC).replace(tzinfo=None)
    connection.execute(delete(tables.keys).where(tables.keys.c.until <= now))
    connection.commit()
