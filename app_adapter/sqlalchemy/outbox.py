"""Writes events into the outbox, in the transaction of the app's session.

An event is an object of the session, so it shares the fate of the app's own records: it is written at the next flush,
committed and rolled back with them, and a savepoint that is rolled back takes it away. Adding it does no I/O, so it
works for an `AsyncSession` too.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy.orm import registry

from app_adapter.outgoing import Outgoing
from app_adapter.sqlalchemy.sessions import plain_session
from bridge.envelope import Envelope, encode_head
from bridge.publishing.outbox.tables import tables


def write(session: Any, namespace: str, events: Iterable[Outgoing]) -> None:
    """Add the events to the session. Raise `DeferError` for an object that is no session, and `TooLarge`."""
    row = _row_class(namespace)
    rows = [
        row(
            name=each.event.name,
            event_key=each.event.handling.key,
            head=encode_head(Envelope(each.event, round_began=each.due or each.event.time)),
            data=each.event.data,
        )
        for each in events
    ]
    plain_session(session).add_all(rows)


@cache
def _row_class(namespace: str) -> Any:
    """Return the class of the records of a namespace's outbox."""
    own = registry()
    base = own.generate_base()
    return type("OutboxEvent", (base,), {"__table__": tables(namespace).outbox, "__module__": __name__})
