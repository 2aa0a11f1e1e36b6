"""The sessions that the app may pass: which of them are SQLAlchemy's, and the plain session behind each."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from bridge.errors import DeferError, shown


def own_session(given: Any) -> Session | AsyncSession:
    """Return the session itself, or the session of this thread, request or task for a scoped one, such as that of
    Flask-SQLAlchemy. Raise `DeferError` for anything else."""
    session = given() if isinstance(given, scoped_session | async_scoped_session) else given
    if not isinstance(session, Session | AsyncSession):
        raise DeferError(f"session={shown(given)}: expected a Session or AsyncSession of SQLAlchemy 2")
    return session


def plain_session(given: Any) -> Session:
    """Return the plain session: that which an `AsyncSession` drives. Raise what `own_session` raises."""
    session = own_session(given)
    return session.sync_session if isinstance(session, AsyncSession) else session
