"""The wake-up of a relay by PostgreSQL: `LISTEN`, on a connection of its own that the event loop watches.

Other databases cannot wake a client, and neither can another driver than psycopg: there the relay polls.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection

from bridge.publishing.outbox.database import Database


class WakeUp:
    """Calls `wake` on the event loop at each notification of a channel, while it listens."""

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel
        self._connection: Connection | None = None
        self._descriptor = -1
        self.wake: Callable[[], None] = lambda: None
        self.listens = False

    async def ensure(self) -> None:
        """Listen, if this database can wake a client and nothing listens yet. Raise `StoreUnavailable`."""
        if self.listens or self._database.url.drivername != "postgresql+psycopg":
            return
        await self._database.run(lambda _: self._listen())
        self._descriptor = self._driver.fileno()
        asyncio.get_running_loop().add_reader(self._descriptor, self._readable)
        self.listens = True

    async def close(self) -> None:
        """Listen no more."""
        self._end()

    def _listen(self) -> None:
        connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql(f'LISTEN "{self._channel}"')
        self._connection = connection

    @property
    def _driver(self) -> Any:
        assert self._connection is not None
        return self._connection.connection.driver_connection

    def _readable(self) -> None:
        pgconn, told = self._driver.pgconn, False
        try:
            pgconn.consume_input()
            while pgconn.notifies() is not None:
                told = True
        except Exception:  # the server has closed the connection; the next `read` listens again
            self._end()
            told = True
        if told:
            self.wake()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if self.listens and connection is not None:
            self.listens = False
            asyncio.get_running_loop().remove_reader(self._descriptor)
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()
                connection.close()
