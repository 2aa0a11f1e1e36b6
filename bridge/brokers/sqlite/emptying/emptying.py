"""Takes the events out of a database file; see `bridge.brokers.contract.emptying`."""

import os
import sqlite3
from collections import Counter
from collections.abc import Collection

from bridge.brokers.contract.emptying import Catch, HeldEvent, Stock
from bridge.brokers.sqlite.emptying.held_rows import HeldRows
from bridge.brokers.sqlite.queues.counting import rows_by_lane
from bridge.brokers.sqlite.queues.maturing import Maturing
from bridge.brokers.sqlite.queues.row import now_microseconds
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.local_database.database import Database
from bridge.local_database.lock_file import remove_if_free
from bridge.local_database.private_files import FileAccess
from bridge.local_database.wakeups import CONSUMER_MARK, Wakeup


class SqliteEmptying:
    """The events of one namespace of a file. From the first `hold` on, it has a lock file like that of a consumer, by
    which others see that what it holds is not free."""

    def __init__(self, database: Database, schema: Schema, maturing: Maturing) -> None:
        self._database = database
        self._schema = schema
        self._rows = HeldRows(schema, maturing)
        self._lease: Wakeup | None = None

    async def stock(self) -> Stock:
        return await self._database.run(self._stock, writes=False)

    async def hold(self, most: int, ordered: Collection[str], without: Collection[str] = ()) -> Catch:
        owner = self._own().owner

        def work(connection: sqlite3.Connection) -> Catch:
            # A consumer makes its lock file before it takes anything, so one that is not seen here finds the leases.
            consumers = self._consumers()
            if consumers:
                return Catch((), consumers, {})
            return self._rows.hold(connection, owner, most, ordered, without)

        return await self._database.run(work, durable=False)

    async def remove(self, events: Collection[HeldEvent]) -> None:
        owner, numbers = self._own().owner, [event.number for event in events]
        await self._database.run(lambda connection: self._rows.remove(connection, owner, numbers))

    async def release(self, events: Collection[HeldEvent]) -> None:
        owner, numbers = self._own().owner, [event.number for event in events]
        await self._database.run(lambda connection: self._rows.release(connection, owner, numbers), durable=False)

    async def close(self) -> None:
        lease, self._lease = self._lease, None
        if lease is None:
            return
        try:
            await self._database.run(
                lambda connection: self._rows.release(connection, lease.owner), durable=False, wakes=CONSUMER_MARK
            )
        finally:
            self._database.wakeups.own.discard(lease.path)
            lease.end()

    def _own(self) -> Wakeup:
        if self._lease is None:
            self._lease = Wakeup.make(self._database.path, CONSUMER_MARK)
            self._database.wakeups.own.add(self._lease.path)
        return self._lease

    def _consumers(self) -> int:
        """Count the consumers of the file that live."""
        path = self._database.path
        beginning, access = path.name + CONSUMER_MARK, FileAccess.like(path)
        own = None if self._lease is None else self._lease.path.name
        names = [entry.name for entry in os.scandir(path.parent) if entry.name.startswith(beginning)]
        return sum(name != own and not remove_if_free(path.with_name(name), access) for name in names)

    def _stock(self, connection: sqlite3.Connection) -> Stock:
        now, due, retries, delayed = now_microseconds(), Counter[str](), Counter[str](), 0
        for queue, has_come, count in rows_by_lane(connection, self._schema, now):
            if queue is None:
                delayed += count
            else:
                (due if has_come else retries)[queue] += count
        (in_hand,) = connection.execute(f"SELECT count(*) FROM {self._schema.delivery} WHERE owner NOTNULL").fetchone()
        mail = f"{self._schema.prefix}.mail"
        messages: dict[str, int] = {}
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (mail,)).fetchone():
            table = '"' + mail.replace('"', '""') + '"'
            messages = dict(connection.execute(f"SELECT mailbox, count(*) FROM {table} GROUP BY 1").fetchall())
        return Stock(due, retries, delayed, messages, self._consumers(), in_hand)
