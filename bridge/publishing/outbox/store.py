"""The store of an outbox: reads and deletes the events in a table of the app's database.

On PostgreSQL, MariaDB and MySQL, what is read is locked until it is deleted, and several relays share the work: each
skips what another has locked. On SQLite one relay of a host has the file, by a lock next to it.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Executable, Table, delete, func, select, text
from sqlalchemy.dialects import mysql

from bridge.config.store_settings import database_of
from bridge.envelope import decode_head
from bridge.errors import StoreUnavailable, UnreadableEnvelope
from bridge.local_database.lock_file import LockFile
from bridge.local_database.private_files import FileAccess
from bridge.publishing.outbox.database import Database
from bridge.publishing.outbox.tables import Tables, tables
from bridge.publishing.outbox.wake_up import WakeUp
from bridge.publishing.stores import HEARTBEAT, Key, StoredEvent, Waiting

_PAGE, _PAGES = 256, 4
"""If all events of a page wait for another relay, `read` looks at this many further events, in this many pages."""
_SOON = 0.1
_BATCH_BYTES = 8 * 1024**2
"""Bytes that a batch should have at most, by the largest event of the batch before."""


class OutboxStore:
    """The outbox of one namespace in one database. `poll` is the time between two looks if nothing wakes the relay."""

    def __init__(self, database: Database, tables: Tables, poll: timedelta) -> None:
        self._database = database
        self._table = tables.outbox
        self._poll = poll.total_seconds()
        self._largest = 1
        self._waits_for_others = False
        self._lock: LockFile | None = None
        self.wake_up = WakeUp(database, self._table.name)
        self.name = f"the outbox {self._table.name} of {database}"

    @property
    def look_every(self) -> float:
        """The seconds between two looks at the empty outbox; fewer if its events wait for another relay."""
        return _SOON if self._waits_for_others else HEARTBEAT if self.wake_up.listens else self._poll

    async def read(self, after: int, most: int) -> list[StoredEvent]:
        """Return and lock the next events after the number `after`, without those that another relay has locked, and
        those that have to wait for an earlier event of their key that another relay has."""
        await self.wake_up.ensure()
        return await self._database.run(partial(self._read, after, most))

    def _read(self, after: int, most: int, connection: Connection) -> list[StoredEvent]:
        connection.rollback()
        page, size = after, max(1, min(most, _BATCH_BYTES // self._largest))
        for _ in range(_PAGES):
            rows = self._locked(page, size, connection)
            first_of_others = {} if self._database.is_sqlite else self._first_of_others(after, rows, connection)
            free = [row for row in rows if row.number < first_of_others.get(row.event_key, row.number + 1)]
            self._waits_for_others = len(free) < len(rows)
            if free or not rows:
                return [StoredEvent(row.number, row.head, bytes(row.data)) for row in free]
            page, size = rows[-1].number, _PAGE
        return []

    def _locked(self, after: int, size: int, connection: Connection) -> Sequence[Any]:
        columns = self._table.c
        query = select(columns.number, columns.head, columns.data, columns.event_key).where(columns.number > after)
        rows = connection.execute(query.order_by(columns.number).limit(size).with_for_update(skip_locked=True)).all()
        self._largest = max((len(row.data) for row in rows), default=1) or 1
        return rows

    def _first_of_others(self, after: int, rows: Sequence[Any], connection: Connection) -> dict[str, int]:
        """Return for each key of the rows the number of the first event that is not among them, if there is one."""
        keys = {row.event_key for row in rows if row.event_key is not None}
        if not keys:
            return {}
        columns = self._table.c
        among_others = (
            columns.event_key.in_(keys),
            columns.number.between(after + 1, rows[-1].number),
            columns.number.not_in([row.number for row in rows]),
        )
        query = select(columns.event_key, func.min(columns.number)).where(*among_others).group_by(columns.event_key)
        return {row[0]: row[1] for row in connection.execute(query)}

    async def remove(self, keys: Iterable[Key]) -> None:
        """Delete these events, and release the others that were read."""
        numbers = [number for number, _ in keys]

        def commit(connection: Connection) -> None:
            if database_of(str(self._database.url)) in ("mysql", "mariadb"):
                connection.execute(_deleting_one_by_one(self._table), {"numbers": json.dumps(numbers)})
            else:
                connection.execute(delete(self._table).where(self._table.c.number.in_(numbers)))
            connection.commit()

        await self._database.run(commit)

    async def waiting(self) -> Waiting:
        """Return the count of events, and the time when the oldest was deferred."""
        return await self._database.run(partial(_waiting, self._table))

    def lock(self) -> bool:
        """Return True, but on SQLite False if another process of this host relays."""
        if not self._database.is_sqlite or self._lock is not None:
            return True
        path = Path(self._database.url.database or "")
        try:
            self._lock = LockFile.acquire(
                path.with_name(f"{path.name}.relay-{self._table.name}"), FileAccess.like(path)
            )
        except OSError as error:
            raise StoreUnavailable(f"{self.name}: its lock file: {error.strerror}") from error
        return self._lock is not None

    def unlock(self) -> None:
        """Release what was read, and on SQLite the right to relay."""
        self._database.give_up()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    async def close(self) -> None:
        """Close the connections."""
        self.unlock()
        await self.wake_up.close()
        await self._database.close()


def counting(namespace: str) -> Callable[[Connection], Waiting]:
    """Return a function that returns what waits in the outbox of a namespace."""
    return partial(_waiting, tables(namespace).outbox)


def _waiting(outbox: Table, connection: Connection) -> Waiting:
    events = connection.execute(select(func.count()).select_from(outbox)).scalar_one()
    first = connection.execute(select(outbox.c.head).order_by(outbox.c.number).limit(1)).scalar_one_or_none()
    connection.rollback()
    try:
        return Waiting(events, None if first is None else decode_head(first, b"").event.time)
    except UnreadableEnvelope:
        return Waiting(events)


def _deleting_one_by_one(outbox: Table) -> Executable:
    """Return MariaDB's statement that deletes the rows with these `numbers` (JSON), and looks at no other row.

    InnoDB takes `number IN (…)` for ranges, reads the row after each range, and waits for its lock. Two relays would
    wait for each other.
    """
    table = mysql.dialect().identifier_preparer.format_table(outbox)
    numbers = "JSON_TABLE(:numbers, '$[*]' COLUMNS (number BIGINT PATH '$')) AS d"
    return text(f"DELETE o FROM {numbers} STRAIGHT_JOIN {table} AS o FORCE INDEX (PRIMARY) ON o.number = d.number")
