"""The sessions that the app may pass: which of them are SQLAlchemy's, and the plain session behind each."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from bridge.errors import DeferError, shown


def own_session(given: Any) -> Session | AsyncSession:
    """Return the session itself, or the session of this thread, request or task for a scoped one, such as that of
    Flask-SQLAlchemy. Raise `DeferError` for anything else."""
    session = given() if isinstance(given, scoped_session | async_scoped_session) else given
    if not isinstance(session, Session | AsyncSession):
        raise DeferError(f"session={shown(given)}: expected a Session or AsyncSession of SQLAlchemy 2")
    return session


def check_source(given: Any) -> None:
    """Raise `DeferError` for what gives no session at each sending of a signal. A session itself is of one request."""
    makes_others = isinstance(given, sessionmaker | async_sessionmaker)  # a new one that nobody commits
    if isinstance(given, Session | AsyncSession) or makes_others or not callable(given):
        raise DeferError(
            f"session={shown(given)}: expected a scoped session, such as db.session of Flask-SQLAlchemy, or a function "
            "of the sender and the arguments that returns a session"
        )


def session_for(given: Any, sender: Any, arguments: Mapping[str, Any]) -> Session | AsyncSession:
    """Return the session for one sending of a signal: a scoped one's own, or what the function returns. Raise
    `DeferError` if that is no session."""
    is_scoped = isinstance(given, scoped_session | async_scoped_session)
    return own_session(given if is_scoped else given(sender, **arguments))


def plain_session(given: Any) -> Session:
    """Return the plain session: that which an `AsyncSession` drives. Raise what `own_session` raises."""
    session = own_session(given)
    return session.sync_session if isinstance(session, AsyncSession) else session
