"""A log in the database file: a table of batches, which the first append creates."""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from bridge.brokers.sqlite.coordination.changes import Changes
from bridge.brokers.sqlite.queues.row import now_microseconds
from bridge.deadline import Deadline
from bridge.errors import BrokerUnavailable
from bridge.local_database.database import Database
from bridge.local_database.log_table import LogTable
from bridge.local_database.wakeups import LISTENER_MARK
from bridge.logs import BEFORE_ALL, AppendUnconfirmed, Batch, Retention

T = TypeVar("T")

_PAGE = 100
_PAGE_BACK = 20
_AGAIN_SECONDS = 0.7

_log = logging.getLogger(__name__)


class SqliteBatchLog:
    """A log as a table; see the contract."""

    def __init__(self, database: Database, changes: Changes, table: str, retention: Retention) -> None:
        self._database = database
        self._changes = changes
        self._table = table
        self._retention = retention

    async def append(self, data: bytes, deadline: Deadline) -> None:
        """Append a batch, and delete old batches, in one transaction."""

        def work(connection: sqlite3.Connection) -> None:
            table, now = LogTable(connection, self._table), now_microseconds()
            table.create()
            table.append(data, now)
            table.trim(self._retention, now)

        operation = self._database.submit(work, wakes=LISTENER_MARK)
        try:
            async with asyncio.timeout(deadline.remaining(time.monotonic())):
                await operation.future
        except TimeoutError:
            why = f"log {self._table}: {self._database.name} is kept busy by others for {deadline.budget:g} s"
            raise (BrokerUnavailable if operation.withdraw() else AppendUnconfirmed)(why) from None
        except asyncio.CancelledError:
            operation.withdraw()
            raise
        self._changes.tell(LISTENER_MARK)

    async def read(self, after: int) -> AsyncGenerator[Batch, None]:
        """Yield all present batches after this number, oldest first."""
        last = await self.last_number()
        while page := await self.page(after, last):
            for batch in page:
                yield batch
            after = page[-1].number

    async def read_back(self) -> AsyncGenerator[Batch, None]:
        """Yield all present batches, newest first."""
        before = await self.last_number() + 1
        while page := await self.page_before(before):
            for batch in page:
                yield batch
            before = page[-1].number

    @asynccontextmanager
    async def follow(self, after: int | None) -> AsyncIterator["_Following"]:
        """Iterate without end over the batches after this number, or over new ones."""
        with self._changes.watched() as changed:
            following = _Following(self, changed, after)
            await following.begin()
            yield following

    async def close(self) -> None:
        """Do nothing: the broker closes its own connection."""

    async def last_number(self) -> int:
        """Return the highest number that any batch ever had; 0 if there was none."""
        return await self._ask(LogTable.last_number_ever, 0)

    async def page(self, after: int, last: int) -> list[Batch]:
        """Return the first batches after the number `after`, up to the number `last`."""
        return await self._ask(lambda table: list(table.entries(after, last, _PAGE)), [])

    async def page_before(self, number: int) -> list[Batch]:
        """Return the last batches before this number, newest first."""
        return await self._ask(lambda table: table.entries_before(number, _PAGE_BACK), [])

    async def _ask(self, work: Callable[[LogTable], T], empty: T) -> T:
        def ask(connection: sqlite3.Connection) -> T:
            table = LogTable(connection, self._table)
            return work(table) if table.exists() else empty

        return await self._database.run(ask, writes=False)


class _Following:
    """The batches of a log after a number, without end."""

    def __init__(self, batches: SqliteBatchLog, changed: asyncio.Event, after: int | None) -> None:
        self._batches = batches
        self._changed = changed
        self._after = after
        self._ready: deque[Batch] = deque()

    async def begin(self) -> None:
        """Find the newest batch; wait while the file cannot be read."""
        if self._after is None:
            self._after = await self._patiently(self._batches.last_number)

    def __aiter__(self) -> "_Following":
        return self

    async def __anext__(self) -> Batch:
        while not self._ready:
            self._changed.clear()
            last = await self._patiently(self._batches.last_number)
            if self._after is None or last < self._after:
                _log.warning("the file of a log that is followed was replaced; reading all of the new log")
                self._after = BEFORE_ALL
            page = await self._patiently(partial(self._batches.page, self._after, last))
            if page:
                self._after = page[-1].number
                self._ready.extend(page)
            else:
                await self._changed.wait()
        return self._ready.popleft()

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until the file can be read. Log only the first failure."""
        logged = False
        while True:
            try:
                return await ask()
            except BrokerUnavailable as error:
                if not logged:
                    _log.warning("%s; trying again", error)
                logged = True
                await asyncio.sleep(_AGAIN_SECONDS)
