"""The spool's file: the embedded broker's own database, durable and grouped alike, with events in the order in which
they came. It knows no broker, and not what a relay makes of it.
"""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from bridge.brokers.spool.reading import Spooled, spool_schema, summary
from bridge.brokers.spool.spool_file import SpoolFile
from bridge.brokers.sqlite.database import Database
from bridge.brokers.sqlite.events import Events
from bridge.brokers.sqlite.lock_file import LockFile
from bridge.brokers.sqlite.publisher import committed
from bridge.envelope import Envelope, decode_head
from bridge.errors import BrokerUnavailable
from bridge.event import Event

_BATCH_BYTES = 8 * 1024**2
"""A batch that is read ends at this size."""


Key = tuple[int, str]
"""An event's number and head. The number alone could be another event's, where the file was replaced meanwhile."""


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """An event as it lies in the spool."""

    number: int
    head: str
    data: bytes

    @property
    def key(self) -> Key:
        return self.number, self.head

    def read(self) -> tuple[Event, datetime | None]:
        """Return the event, and when it is due if not at once. Raise `UnreadableEnvelope`."""
        envelope = decode_head(self.head, self.data)
        due = envelope.round_began
        return envelope.event, due if due > envelope.event.time else None


class Store:
    """One spool as one process uses it; not to be used across a fork. Nothing is opened before the first use."""

    def __init__(self, file: SpoolFile) -> None:
        self.path = file.path
        self._schema = spool_schema(file.namespace)
        self._database = Database(file.path, self._schema, file.limit)
        self._lock_path = file.path.with_name(f"{file.path.name}.relay-{file.namespace}")
        self._lock: LockFile | None = None
        self._pid = os.getpid()
        os.register_at_fork(after_in_child=self._let_go_in_child)

    async def add(self, event: Event, due: datetime | None, within: float) -> int:
        """Write an event, and return its number. Raises what `Publisher.publish` raises, or `BrokerRefused`."""
        row = Events.row(Envelope(event, round_began=due or event.time), None)

        def insert(connection: sqlite3.Connection) -> int:
            # In no queue and always due: the number alone is the order, whatever becomes of the clock.
            sql = f"INSERT INTO {self._schema.event} (due, name, head, data) VALUES (0, ?, ?, ?)"
            return connection.execute(sql, (row.name, row.head, row.data)).lastrowid or 0

        return await committed(self._database.submit(insert), self._database.name, event, within)

    async def read(self, after: int, most: int) -> list[SpooledEvent]:
        """Return the next events behind this number, in order, at most so many. Raises as all below do:
        `BrokerUnavailable` where the file cannot be used, `BrokerRefused` where it is of another version."""

        def select(connection: sqlite3.Connection) -> list[SpooledEvent]:
            sql = f"SELECT number, head, data FROM {self._schema.event} WHERE number > ? ORDER BY number LIMIT ?"
            found: list[SpooledEvent] = []
            size = 0
            for row in connection.execute(sql, (after, most)):
                found.append(SpooledEvent(*row))
                size += len(found[-1].data)
                if size >= _BATCH_BYTES:
                    break
            return found

        return await self._database.run(select, writes=False)

    async def holds(self, number: int) -> bool:
        """Tell whether this event is still there."""
        sql = f"SELECT 1 FROM {self._schema.event} WHERE number = ?"
        return await self._database.run(
            lambda connection: connection.execute(sql, (number,)).fetchone() is not None, writes=False
        )

    async def remove(self, keys: Iterable[Key]) -> None:
        """Delete these events."""
        sql, those = f"DELETE FROM {self._schema.event} WHERE number = ? AND head = ?", sorted(keys)
        await self._database.run(lambda connection: connection.executemany(sql, those))

    async def summary(self) -> Spooled:
        """Return how much there is."""
        return await self._database.run(lambda connection: summary(connection, self._schema), writes=False)

    def lock(self) -> bool:
        """Become the one on this host who relays, until `unlock()` or the end of the process; False where somebody is.
        Raise `BrokerUnavailable` where no file can be made beside the spool."""
        if self._lock is not None:
            return True
        try:
            self._lock = LockFile.acquire(self._lock_path)
        except OSError as error:
            raise BrokerUnavailable(f"lock file {self._lock_path}: {error.strerror}") from error
        return self._lock is not None

    def unlock(self) -> None:
        """Let another relay; twice is as good as once."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    async def close(self) -> None:
        """Close the file, and let another relay."""
        with suppress(OSError):
            self.unlock()
        await self._database.close()

    def _let_go_in_child(self) -> None:
        # A lock that a forked child inherits would stay locked after its parent's end. (uvloop calls this hook in
        # processes that have not forked.)
        if self._pid != os.getpid() and self._lock is not None:
            os.close(self._lock.descriptor)
            self._lock = None
