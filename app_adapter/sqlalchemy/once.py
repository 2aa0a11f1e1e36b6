"""Runs a listener once: the effects in the app's database and the mark that it ran are one transaction.

The mark is the event's id and the listener's name. A repeat that runs at the same time waits for the first one's
commit or rollback, by the table's primary key.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from app_adapter.call_to_end import Runner, call_to_end, finish_in_loop, run_async
from app_adapter.listener_api import AlreadyDone, Event
from app_adapter.listeners import Listener
from app_adapter.running_listener import RunningListener
from app_adapter.sqlalchemy.inserting import inserted
from app_adapter.sqlalchemy.sessions import own_session
from bridge.publishing.outbox.tables import tables


def mark_once(given: Any, namespace: str, running: RunningListener) -> Awaitable[None] | None:
    """Write the mark in the session's transaction; of an `AsyncSession`, return what does. Raise `AlreadyDone` if the
    mark is there, `RuntimeError` if this call has written it, and `DeferError` for an object that is no session."""
    session = own_session(given)
    if isinstance(session, AsyncSession):
        return session.run_sync(_mark, namespace, running)
    _mark(session, namespace, running)
    return None


def run_once(
    factory: Callable[[], Any], namespace: str, running: RunningListener, listener: Listener, event: Event, run: Runner
) -> Any:
    """Call the listener with the event and a new session, and do the work that it returns; commit the transaction with
    the mark, and close the session. Raise `AlreadyDone` if the mark is there."""
    session = own_session(factory())
    if isinstance(session, AsyncSession):
        return run_async(listener.what, _run_async, session, namespace, running, listener, event, run=run)
    with session:
        _mark(session, namespace, running)
        result = call_to_end(listener.what, listener.function, event, session, run=run)
        session.commit()
        return result


async def _run_async(
    session: AsyncSession, namespace: str, running: RunningListener, listener: Listener, event: Event
) -> Any:
    async with session:
        await session.run_sync(_mark, namespace, running)
        result = await finish_in_loop(listener.what, listener.function(event, session))
        await session.commit()
        return result


def _mark(session: Session, namespace: str, running: RunningListener) -> None:
    done_at = datetime.now(UTC).replace(tzinfo=None)
    mark = {"event_id": running.event_id, "listener": running.listener, "done_at": done_at}
    if inserted(session, tables(namespace).once, mark):
        running.marked = True
    elif running.marked:
        raise RuntimeError("events.once() was called twice: expected one call, at the beginning of the transaction")
    else:
        raise AlreadyDone(f"the listener {running.listener!r} has done event {running.event_id} already")
