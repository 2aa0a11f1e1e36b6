"""Writes events into the outbox, in the transaction of the app's session.

An event is an object of the session, so it shares the fate of the app's own records: it is written at the next flush,
committed and rolled back with them, and a savepoint that is rolled back takes it away. Adding it does no I/O, so it
works for an `AsyncSession` too.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy import insert as insert_into
from sqlalchemy.orm import Session, registry

from app_adapter.outgoing import Outgoing
from app_adapter.sqlalchemy.sessions import plain_session
from bridge.envelope import Envelope, encode_head
from bridge.publishing.outbox.tables import tables


def write(session: Any, namespace: str, events: Iterable[Outgoing]) -> None:
    """Add the events to the session. Raise `DeferError` for an object that is no session, and `TooLarge`."""
    row = _row_class(namespace)
    plain_session(session).add_all([row(**_values(each)) for each in events])


def insert(session: Session, namespace: str, events: Iterable[Outgoing]) -> None:
    """Insert the events at once, while the session flushes. Raise `TooLarge`, and what SQLAlchemy raises.

    An object that is added during a flush waits for the next one, which may belong to a savepoint that is rolled back.
    """
    outbox = tables(namespace).outbox
    rows = [_values(each) for each in events]
    if rows:
        session.connection(bind_arguments={"clause": outbox}).execute(insert_into(outbox), rows)


def _values(outgoing: Outgoing) -> dict[str, Any]:
    event = outgoing.event
    return {
        "name": event.name,
        "event_key": event.handling.key,
        "head": encode_head(Envelope(event, round_began=outgoing.due or event.time)),
        "data": event.data,
    }


@cache
def _row_class(namespace: str) -> Any:
    """Return the class of the records of a namespace's outbox."""
    own = registry()
    base = own.generate_base()
    return type("OutboxEvent", (base,), {"__table__": tables(namespace).outbox, "__module__": __name__})
