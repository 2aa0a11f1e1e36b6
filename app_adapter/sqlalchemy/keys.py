"""Keys of events in the app's database: an event that holds its key keeps others of its name and key away.

The key is taken in the session's own transaction, so it is free again if that is rolled back. Another transaction that
wants the key waits until then.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app_adapter.sqlalchemy.inserting import inserted
from app_adapter.sqlalchemy.sessions import own_session
from bridge.errors import DeferError, DuplicateEvent
from bridge.event import Event
from bridge.publishing.outbox.tables import tables


def hold_key(given: Any, namespace: str, event: Event, within: timedelta) -> None:
    """Let the event hold its key. Raise `DuplicateEvent` if another one holds it, and `DeferError` for an
    `AsyncSession`, which cannot be asked without awaiting it."""
    session = own_session(given)
    if isinstance(session, AsyncSession):
        raise DeferError(
            "within with an AsyncSession: expected a plain session; await session.run_sync(f) calls f with one"
        )
    table, key, now = tables(namespace).keys, event.handling.key, datetime.now(UTC).replace(tzinfo=None)
    is_it = and_(table.c.name == event.name, table.c.event_key == key)
    session.execute(delete(table).where(is_it, table.c.until <= now))
    if inserted(session, table, {"name": event.name, "event_key": key, "event_id": event.id, "until": now + within}):
        return
    # A locking read, because MariaDB's snapshot may be older than the row.
    first = session.execute(select(table.c.event_id).where(is_it).with_for_update(read=True)).scalar_one_or_none()
    if first is None:
        raise DeferError(
            f"event {event.name!r}: its key {key!r} was given up just now; nothing was deferred: try again"
        )
    raise DuplicateEvent(first, f"event {event.name!r}: {first} has its key {key!r} already")
