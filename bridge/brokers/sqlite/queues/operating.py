"""Counts and purges the queues in the database file; see `bridge.brokers.contract.operating`."""

import os
import sqlite3
from collections.abc import Sequence

from bridge.brokers.contract.operating import QueueCounts, SiteCounts
from bridge.brokers.sqlite.queues.counting import Counting
from bridge.brokers.sqlite.queues.purging import Purging
from bridge.errors import BrokerRefused
from bridge.handling import Priority
from bridge.local_database.database import Database
from bridge.local_database.lock_file import remove_if_free
from bridge.local_database.private_files import FileAccess
from bridge.local_database.wakeups import CONSUMER_MARK


class SqliteQueueOperator:
    """An operator of one file."""

    def __init__(self, database: Database, counting: Counting, purging: Purging) -> None:
        self._database = database
        self._counting = counting
        self._purging = purging

    async def counts(self, queues: Sequence[str]) -> SiteCounts:
        backlog = await self._database.run(self._counting.backlog, writes=False)
        waiting = await self._database.run(self._counting.waiting, writes=False)
        consumers = self._living_consumers()
        found = {
            name: QueueCounts({Priority.NORMAL: 0, **counted.by_priority}, counted.held, counted.waiting, consumers)
            for name, counted in backlog.items()
            if name in queues
        }
        return SiteCounts(found, waiting)

    async def purge(self, queue: str) -> int:
        def work(connection: sqlite3.Connection) -> int:
            purged = self._purging.purge(connection, queue)
            if purged is None:
                raise BrokerRefused(f"{self._database.name} has no queue {queue!r}")
            return purged

        return await self._database.run(work)

    def _living_consumers(self) -> int:
        """Count the consumers of this file, each of which takes events of the queues of its own settings."""
        path = self._database.path
        beginning, access = path.name + CONSUMER_MARK, FileAccess.like(path)
        names = [entry.name for entry in os.scandir(path.parent) if entry.name.startswith(beginning)]
        return sum(not remove_if_free(path.with_name(name), access) for name in names)
