"""The store of a spool: writes, reads and deletes its events, in order of arrival.

The file is a database of the embedded broker: writes are durable and committed in groups. The store knows no broker and
no relay.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from bridge.brokers.sqlite.queues.publisher import committed
from bridge.brokers.sqlite.queues.row import row_of
from bridge.deadline import Deadline
from bridge.envelope import Envelope
from bridge.errors import BrokerUnavailable
from bridge.event import Event
from bridge.local_database.connection import Connection
from bridge.local_database.database import Database
from bridge.local_database.lock_file import LockFile
from bridge.local_database.private_files import FileAccess
from bridge.looking import is_missing
from bridge.publishing.spool.spool_file import SpoolFile
from bridge.publishing.spool.summary import spool_schema, summary
from bridge.publishing.stores import HEARTBEAT, Key, StoredEvent, Waiting

_BATCH_BYTES = 8 * 1024**2
"""Bytes of events after which `read` ends a batch."""


class Store:
    """One process's access to one spool. Not to be used after a fork. The first use opens the file.

    Every method raises `BrokerUnavailable` if the file cannot be used, and `BrokerRefused` if it is of another version.
    """

    def __init__(self, file: SpoolFile, *, creates: bool = True) -> None:
        """`creates`: a missing file is created. Otherwise it counts as empty."""
        self._schema = spool_schema(file.namespace)
        self._database = Database(file.path, self._schema, file.limit, creates=creates, group=file.group)
        self._creates = creates
        self.path = self._database.path
        self.name = f"the spool {self.path}"
        self._lock_path = self.path.with_name(f"{self.path.name}.relay-{file.namespace}")
        self._lock: LockFile | None = None
        self._pid = os.getpid()
        os.register_at_fork(after_in_child=self._let_go_in_child)

    @property
    def look_every(self) -> float:
        """The seconds between two looks for events of processes that have ended."""
        return HEARTBEAT

    async def add(self, event: Event, due: datetime | None, deadline: Deadline) -> int:
        """Write an event; return its number. Raise what `Publisher.publish` raises, or `BrokerRefused`."""
        row = row_of(Envelope(event, round_began=due or event.time), None)

        def insert(connection: Connection) -> int:
            # In no queue and always due, so that the number alone is the order and a clock that is set changes nothing.
            sql = f"INSERT INTO {self._schema.event} (due, name, head, data) VALUES (0, ?, ?, ?)"
            return connection.execute(sql, (row.name, row.head, row.data)).lastrowid or 0

        return await committed(self._database.submit(insert), self._database.name, event, deadline)

    async def read(self, after: int, most: int) -> list[StoredEvent]:
        """Return the next events after the number `after`, in order, at most `most`."""

        def select(connection: Connection) -> list[StoredEvent]:
            sql = f"SELECT number, head, data FROM {self._schema.event} WHERE number > ? ORDER BY number LIMIT ?"
            found: list[StoredEvent] = []
            size = 0
            for row in connection.execute(sql, (after, most)):
                found.append(StoredEvent(*row))
                size += len(found[-1].data)
                if size >= _BATCH_BYTES:
                    break
            return found

        if not self._creates and is_missing(self.path):
            return []
        return await self._database.run(select, writes=False)

    async def holds(self, number: int) -> bool:
        """Return True if the event is still in the spool."""
        sql = f"SELECT 1 FROM {self._schema.event} WHERE number = ?"
        return await self._database.run(
            lambda connection: connection.execute(sql, (number,)).fetchone() is not None, writes=False
        )

    async def remove(self, keys: Iterable[Key]) -> None:
        """Delete these events. An event that is not there is no error."""
        sql, rows = f"DELETE FROM {self._schema.event} WHERE number = ? AND head = ?", sorted(keys)
        await self._database.run(lambda connection: connection.executemany(sql, rows))

    async def waiting(self) -> Waiting:
        """Return the count of events and the time of the oldest."""
        found = await self._database.run(lambda connection: summary(connection, self._schema), writes=False)
        return Waiting(found.events, found.oldest)

    def lock(self) -> bool:
        """Take this host's right to relay until `unlock()` or the end of the process. Return False if another process
        has it.

        Raise `BrokerUnavailable` if no lock file can be made next to the spool.
        """
        if self._lock is not None:
            return True
        try:
            self._lock = LockFile.acquire(self._lock_path, FileAccess.like(self.path))
        except OSError as error:
            raise BrokerUnavailable(f"lock file {self._lock_path}: {error.strerror}") from error
        return self._lock is not None

    def unlock(self) -> None:
        """Give the right to relay back. Without it, do nothing."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    async def close(self) -> None:
        """Close the file, and give the right to relay back."""
        with suppress(OSError):
            self.unlock()
        await self._database.close()

    def _let_go_in_child(self) -> None:
        # A forked child that keeps the descriptor would hold the lock after its parent has ended. The process id is
        # compared because uvloop calls this hook in processes that have not forked.
        if self._pid != os.getpid() and self._lock is not None:
            os.close(self._lock.descriptor)
            self._lock = None
