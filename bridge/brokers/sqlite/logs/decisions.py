"""Decisions about dead letters. The right to decide is a claim and not a transaction: putting many letters back can
take minutes, and publishers and workers must be able to write meanwhile.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bridge.brokers.sqlite.queues.enqueuing import Enqueuing
from bridge.brokers.sqlite.queues.row import row_of
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.envelope import Envelope
from bridge.errors import BrokerRefused, DeferRejected
from bridge.ledger import Discarded, Redriven
from bridge.local_database.connection import WriteRefused, existing
from bridge.local_database.database import Database
from bridge.local_database.ledger_table import LedgerTable
from bridge.local_database.wakeups import CONSUMER_MARK

EMPTY_SECONDS = 5.0
"""The time to wait for other processes until the journal can be emptied."""


class SqliteDecisions:
    """The right to decide. It must not be used after the claim is released."""

    def __init__(
        self, database: Database, schema: Schema, enqueuing: Enqueuing, wake_consumers: Callable[[], None]
    ) -> None:
        self._database = database
        self._schema = schema
        self._enqueuing = enqueuing
        self._wake_consumers = wake_consumers

    async def redrive(self, number: int, envelope: Envelope, queue: str, actor: str, note: str) -> None:
        """Put the envelope into its queue and record the decision, in one transaction. If `queue` is empty because no
        queue took the event, route it by its name again. Raise `BrokerRefused` if the letter is not open."""
        row = row_of(envelope, None)
        entry = Redriven(0, number, datetime.now(UTC), actor, note)

        def work(connection: sqlite3.Connection) -> None:
            table = self._open_letter(connection, number)
            if queue:
                self._enqueuing.put(connection, row, queue)
            else:
                self._enqueuing.publish(connection, row)
            table.append(entry)

        await self._write(work)

    async def discard(self, number: int, actor: str, note: str) -> None:
        """Record the decision to discard the letter. Raise `BrokerRefused` if the letter is not open."""
        entry = Discarded(0, number, datetime.now(UTC), actor, note)
        await self._write(lambda connection: self._open_letter(connection, number).append(entry))

    async def erase(self, number: int, actor: str, note: str) -> bool:
        """Overwrite what may be personal in the letter, then write the journal back to the file and empty it. Return
        False if another process prevents that for some seconds; SQLite does it later."""
        entry = Discarded(0, number, datetime.now(UTC), actor, note)

        def work(connection: sqlite3.Connection) -> None:
            table = LedgerTable(connection, self._schema.ledger_name)
            is_open = table.is_open(number)
            if not table.erase(number):
                raise BrokerRefused(f"dead letter {number}: the ledger has no such letter")
            if is_open:
                table.append(entry)

        await self._write(work)
        return await asyncio.to_thread(_empty_journal, self._database.path)

    def _open_letter(self, connection: sqlite3.Connection, number: int) -> LedgerTable:
        table = LedgerTable(connection, self._schema.ledger_name)
        if not table.is_open(number):
            raise BrokerRefused(f"dead letter {number}: it is not open; somebody has decided about it, or it never was")
        return table

    async def _write(self, work: Callable[[sqlite3.Connection], None]) -> None:
        try:
            await self._database.run(work, wakes=CONSUMER_MARK)
        except WriteRefused as error:
            raise DeferRejected(str(error)) from error
        self._wake_consumers()


def _empty_journal(path: Path) -> bool:
    with existing(path, EMPTY_SECONDS) as connection:
        busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    return not busy
