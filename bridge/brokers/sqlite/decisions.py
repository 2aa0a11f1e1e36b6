"""Decisions about dead letters. The right to decide is a lock file beside the database, and not a transaction: to put
many letters back can take minutes, and must not keep publishers and workers from writing meanwhile.
"""

import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

from bridge.brokers.sqlite.connection import WriteRefused
from bridge.brokers.sqlite.database import Database
from bridge.brokers.sqlite.events import Events
from bridge.brokers.sqlite.ledger_table import LedgerTable
from bridge.brokers.sqlite.lock_file import LockFile
from bridge.envelope import Envelope
from bridge.errors import BrokerRefused, BrokerUnavailable, DeferRejected
from bridge.ledger import Discarded, Redriven


class SqliteDecisions:
    """The right to decide, while it is held."""

    def __init__(self, database: Database, events: Events, stir: Callable[[], None]) -> None:
        self._database = database
        self._events = events
        self._stir = stir

    async def redrive(self, number: int, envelope: Envelope, queue: str, actor: str, note: str) -> None:
        """Put it into its queue and record it, in one transaction. `queue` is empty for a letter that no queue took:
        then it is routed by its name again. Raise `BrokerRefused` where the letter is not open."""
        row = self._events.row(envelope, None)
        entry = Redriven(0, number, datetime.now(UTC), actor, note)

        def work(connection: sqlite3.Connection) -> None:
            table = self._open_letter(connection, number)
            if queue:
                self._events.put(connection, row, queue)
            else:
                self._events.publish(connection, row)
            table.append(entry)

        await self._write(work)

    async def discard(self, number: int, actor: str, note: str) -> None:
        """Record that the letter is let go. Raise `BrokerRefused` where it is not open."""
        entry = Discarded(0, number, datetime.now(UTC), actor, note)
        await self._write(lambda connection: self._open_letter(connection, number).append(entry))

    def _open_letter(self, connection: sqlite3.Connection, number: int) -> LedgerTable:
        table = LedgerTable(connection, self._database.schema.ledger_name)
        if not table.is_open(number):
            raise BrokerRefused(f"dead letter {number}: it is not open; somebody has decided about it, or it never was")
        return table

    async def _write(self, work: Callable[[sqlite3.Connection], None]) -> None:
        try:
            await self._database.run(work, rings=True)
        except WriteRefused as error:
            raise DeferRejected(str(error)) from error
        self._stir()


def hold_right(database: Database) -> LockFile:
    """Hold the right to decide. Raise `BrokerRefused` where another process has it, naming that process."""
    path = database.path.with_name(f"{database.path.name}.{database.schema.prefix}.deciding")
    try:
        lock = LockFile.acquire(path)
        if lock is None:
            pid = path.read_text() or "unknown"
            raise BrokerRefused(f"another bridge-dlq is deciding about dead letters of {database.path} (pid {pid})")
        lock.write(str(os.getpid()))
    except OSError as error:
        raise BrokerUnavailable(f"lock file {path}: {error.strerror}") from error
    return lock
