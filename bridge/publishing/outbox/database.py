"""A connection to the app's database for the relay: one at a time, opened when it is needed, on a thread of its own.

The thread is a daemon thread, so that a database that does not answer does not keep the process from ending.
"""

import asyncio
import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from bridge.config.store_settings import DRIVERS
from bridge.errors import SettingsError, StoreUnavailable

T = TypeVar("T")
_Calls = SimpleQueue[Callable[[], None] | None]

SLOW_SECONDS = 10.0
"""Seconds after which the log says that the database has not answered yet."""
CLOSE_SECONDS = 1.0

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "psycopg": {"connect_timeout": 5, "application_name": "bridge-relay", "tcp_user_timeout": 30_000},
    "pymysql": {"connect_timeout": 5, "read_timeout": 30, "write_timeout": 30},
}
"""The arguments by which a driver notices that its server is gone. The URL may have others."""

log = logging.getLogger("bridge")


class Database:
    """One database. `run()` and `submit()` call a function with a connection, one function at a time."""

    def __init__(self, url: str) -> None:
        """Raise `SettingsError` if the driver is not installed."""
        self.engine = engine_of(url, poolclass=NullPool)
        self.url = self.engine.url
        self._connection: Connection | None = None
        self._calls: _Calls = SimpleQueue()
        self._thread: threading.Thread | None = None

    def __str__(self) -> str:
        """Return the database in words, without a login."""
        return in_words(self.url)

    @property
    def is_sqlite(self) -> bool:
        """True if the database is a file."""
        return self.url.get_backend_name() == "sqlite"

    async def run(self, use: Callable[[Connection], T]) -> T:
        """Call the function, and return its result. Raise `StoreUnavailable` if the database fails; the connection is
        then closed, and the next call opens another one."""
        waiting = asyncio.wrap_future(self.submit(use))
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._report_slowness)
        try:
            return await waiting
        finally:
            slow.cancel()

    def _report_slowness(self) -> None:
        log.warning("%s has not answered for %g s; still waiting for it", self, SLOW_SECONDS)

    def submit(self, use: Callable[[Connection], T]) -> "Future[T]":
        """Call the function after those before it; return the future of its result."""
        future: Future[T] = Future()

        def call() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(self._use(use))
                except BaseException as error:  # the caller gets it, whatever it is
                    future.set_exception(error)

        self._calls.put(call)
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._calls,), name="bridge-outbox", daemon=True)
            self._thread.start()
        return future

    def give_up(self) -> None:
        """End the open transaction without its changes, if there is one. Do not wait for that."""
        self._calls.put(self._roll_back)

    async def close(self) -> None:
        """Close the connection and end its thread, within `CLOSE_SECONDS`. The next call connects again."""
        if self._thread is not None:
            closed: Future[None] = Future()

            def close() -> None:
                self._drop()
                closed.set_result(None)

            self._calls.put(close)
            self._calls.put(None)
            self._thread, self._calls = None, SimpleQueue()
            await asyncio.wait([asyncio.wrap_future(closed)], timeout=CLOSE_SECONDS)

    def _use(self, use: Callable[[Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self.engine.connect()
            return use(self._connection)
        except SQLAlchemyError as error:
            self._drop()
            raise unavailable(self.url, error) from error
        except BaseException:
            self._drop()
            raise

    def _roll_back(self) -> None:
        if self._connection is not None:
            try:
                self._connection.rollback()
            except Exception:  # a driver may raise anything on a connection that is lost
                self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # as above
                connection.close()


def engine_of(url: str, **pool: Any) -> Engine:
    """Return an engine for a URL of `[stores]`. `pool` are arguments of SQLAlchemy's about its connections. Raise
    `SettingsError` if the driver is not installed."""
    found = _with_driver(make_url(url))
    isolation = {} if found.get_backend_name() == "sqlite" else {"isolation_level": "READ COMMITTED"}
    driver = found.drivername.partition("+")[2]
    arguments = {key: value for key, value in _ARGUMENTS.get(driver, {}).items() if key not in found.query}
    try:
        return create_engine(found, connect_args=arguments, **isolation, **pool)
    except (ImportError, NoSuchModuleError) as error:
        raise SettingsError(f"{in_words(found)}: its driver {driver!r} is not installed: {error}") from error


def in_words(url: URL) -> str:
    """Return a database in words, without a login."""
    host = f"{url.host or ''}{'' if url.port is None else f':{url.port}'}"
    return f"{url.get_backend_name()}://{host}/{url.database or ''}"


def unavailable(url: URL, error: SQLAlchemyError) -> StoreUnavailable:
    """Return the error of a database that failed, in its own words."""
    return StoreUnavailable(f"{in_words(url)}: {_reason(error)}")


def _work(calls: _Calls) -> None:
    while (call := calls.get()) is not None:
        call()


def _with_driver(url: URL) -> URL:
    if "+" in url.drivername:
        return url
    return url.set(drivername=f"{url.drivername}+{DRIVERS[url.drivername]}")


def _reason(error: SQLAlchemyError) -> str:
    """Return the database's own words, on one line, and what helps if a table is missing."""
    words = " ".join(str(getattr(error, "orig", None) or error).split())
    missing = re.search(r"no such table|relation .* does not exist|Table .* doesn't exist", words)
    return f"{words}; `bridge-outbox ddl` prints the statements that make the tables" if missing else words
