"""The ledger of dead letters: a table that is read in pages, so that a long reading does not block writers."""

import sqlite3
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from typing import TypeVar

from bridge.brokers.contract.ledger import BEFORE_ALL, LETTERS_AHEAD, LETTERS_AHEAD_BYTES
from bridge.brokers.sqlite.coordination.claim import hold
from bridge.brokers.sqlite.logs.decisions import SqliteDecisions
from bridge.brokers.sqlite.queues.enqueuing import Enqueuing
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.errors import UnreadableEnvelope
from bridge.ledger import Entry, Letter
from bridge.local_database.database import Database
from bridge.local_database.ledger_table import LedgerTable
from bridge.local_database.private_files import FileAccess

T = TypeVar("T")

_PAGE = 1000


class SqliteLedger:
    """The ledger as a table. `wake_consumers` makes the consumers of this process look for new rows at once."""

    def __init__(
        self, database: Database, schema: Schema, enqueuing: Enqueuing, wake_consumers: Callable[[], None]
    ) -> None:
        self._database = database
        self._schema = schema
        self._enqueuing = enqueuing
        self._wake_consumers = wake_consumers

    async def entries(self, after: int = BEFORE_ALL) -> AsyncIterator[Entry]:
        last = await self._read(LedgerTable.last_number) or 0
        while page := await self._page(after, last):
            for entry in page:
                yield entry
            after = page[-1].number

    async def entries_back(self) -> AsyncGenerator[Entry, None]:
        number = (await self._read(LedgerTable.last_number) or 0) + 1
        while page := await self._read(partial(LedgerTable.entries_before, number=number, limit=_PAGE)):
            for entry in page:
                yield entry
            number = page[-1].number

    async def letter(self, number: int) -> Letter | None:
        return await self._read(lambda table: table.letter(number))

    async def letters(self, numbers: Iterable[int]) -> AsyncGenerator[Letter | UnreadableEnvelope | None, None]:
        waiting = deque(numbers)
        while waiting:
            batch = await self._read(partial(_letters, tuple(islice(waiting, LETTERS_AHEAD))))
            for found in batch:
                waiting.popleft()
                yield found

    async def add(self, letter: Letter) -> None:
        def append(connection: sqlite3.Connection) -> None:
            LedgerTable(connection, self._schema.ledger_name).append_letter(letter)

        await self._database.run(append)

    @asynccontextmanager
    async def deciding(self) -> AsyncIterator[SqliteDecisions]:
        database = self._database.path
        path = database.with_name(f"{database.name}.{self._schema.prefix}.deciding")
        taken = f"another bridge-dlq is deciding about dead letters of {database}"
        async with hold(path, FileAccess.like(database), taken):
            yield SqliteDecisions(self._database, self._schema, self._enqueuing, self._wake_consumers)

    async def close(self) -> None:
        """Do nothing: the broker closes its own connection."""

    async def _page(self, after: int, last: int) -> list[Entry]:
        return await self._read(lambda table: list(table.entries(after, last, _PAGE)))

    async def _read(self, work: Callable[[LedgerTable], T]) -> T:
        def read(connection: sqlite3.Connection) -> T:
            return work(LedgerTable(connection, self._schema.ledger_name))

        return await self._database.run(read, writes=False)


def _letters(numbers: Iterable[int], table: LedgerTable) -> list[Letter | UnreadableEnvelope | None]:
    """Return the letters of the first of these numbers, up to some `LETTERS_AHEAD_BYTES` of data."""
    found: list[Letter | UnreadableEnvelope | None] = []
    size = 0
    for number in numbers:
        try:
            letter = table.letter(number)
        except UnreadableEnvelope as error:
            found.append(error)
            continue
        found.append(letter)
        size += len(letter.envelope.event.data) if letter is not None else 0
        if size > LETTERS_AHEAD_BYTES:
            break
    return found
