"""The ledger of dead letters: a table, read in pages, so that nobody is kept from writing while it is read."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from bridge.brokers.sqlite.database import Database
from bridge.brokers.sqlite.decisions import SqliteDecisions, hold_right
from bridge.brokers.sqlite.events import Events
from bridge.brokers.sqlite.ledger_table import LedgerTable
from bridge.ledger import Entry, Letter

T = TypeVar("T")

_PAGE = 1000


class SqliteLedger:
    """The ledger. `stir` lets this process's own consumers look at once."""

    def __init__(self, database: Database, events: Events, stir: Callable[[], None]) -> None:
        self._database = database
        self._events = events
        self._stir = stir

    async def entries(self) -> AsyncIterator[Entry]:
        last = await self._read(LedgerTable.last_number) or 0
        after = 0
        while page := await self._page(after, last):
            for entry in page:
                yield entry
            after = page[-1].number

    async def letter(self, number: int) -> Letter | None:
        return await self._read(lambda table: table.letter(number))

    @asynccontextmanager
    async def deciding(self) -> AsyncIterator[SqliteDecisions]:
        right = hold_right(self._database)
        try:
            yield SqliteDecisions(self._database, self._events, self._stir)
        finally:
            right.release()

    async def close(self) -> None:
        """Nothing is open but the broker's own connection."""

    async def _page(self, after: int, last: int) -> list[Entry]:
        return await self._read(lambda table: list(table.entries(after, last, _PAGE)))

    async def _read(self, work: Callable[[LedgerTable], T]) -> T:
        def read(connection: sqlite3.Connection) -> T:
            return work(LedgerTable(connection, self._database.schema.ledger_name))

        return await self._database.run(read, writes=False)
