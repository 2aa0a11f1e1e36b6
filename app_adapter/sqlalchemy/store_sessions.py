"""Sessions on the database of one of `[stores]`, for the ingress, which has no database of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bridge.config.store_settings import StoreSettings
from bridge.publishing.outbox.database import engine_of, unavailable

POOL: dict[str, Any] = {"pool_pre_ping": True}
POOL_OF_SERVER: dict[str, Any] = {**POOL, "pool_size": 5, "max_overflow": 10, "pool_timeout": 5}
"""A request waits for a free connection for some seconds, and is then told to come again."""


class StoreSessions:
    """Makes the sessions. A process that was forked has connections of its own."""

    def __init__(self, store: StoreSettings) -> None:
        """Raise `SettingsError` if the driver is not installed, or the password cannot be read."""
        self._store = store
        self._pid, self._engine = os.getpid(), self._new_engine()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yield a session, to be committed by the caller. Raise `StoreUnavailable` if the database fails."""
        engine = self._engine_of_this_process()
        try:
            with Session(engine) as session:
                yield session
        except SQLAlchemyError as error:
            raise unavailable(engine.url, error) from error

    def _engine_of_this_process(self) -> Engine:
        if self._pid != os.getpid():
            self._engine.dispose(close=False)  # its connections are the parent's
            self._pid, self._engine = os.getpid(), self._new_engine()
        return self._engine

    def _new_engine(self) -> Engine:
        url = self._store.url_with_password()
        return engine_of(url, **(POOL if url.startswith("sqlite") else POOL_OF_SERVER))
