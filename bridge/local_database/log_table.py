"""A table of a log's batches, synchronous. For the embedded broker it is the log itself; for a log on another broker it
is a local index (`local_index`).
"""

import sqlite3
from collections.abc import Iterable, Iterator

from bridge.logs import Batch, Retention

_NEVER = 2**63 - 1


class LogTable:
    """The batches of one log, by number. Except `add_many`, the methods use the transaction that is open.

    `total` is the size of all data ever appended, up to and including the row. The size of some rows is then the
    difference between two totals, and trimming reads only the rows that it deletes.
    """

    def __init__(self, connection: sqlite3.Connection, name: str = "log") -> None:
        self._connection = connection
        self._name = name
        quoted = name.replace('"', '""')
        self._table = f'"{quoted}"'

    def exists(self) -> bool:
        """Return True if the table exists."""
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._connection.execute(query, (self._name,)).fetchone() is not None

    def create(self) -> None:
        """Create the table if it does not exist."""
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (number INTEGER PRIMARY KEY AUTOINCREMENT,"
            " time INTEGER NOT NULL, total INTEGER NOT NULL, data BLOB NOT NULL)"
        )

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._connection.close()

    def last_number(self) -> int | None:
        """Return the number of the newest batch; None if there is none."""
        number: int | None = self._connection.execute(f"SELECT max(number) FROM {self._table}").fetchone()[0]
        return number

    def last_number_ever(self) -> int:
        """Return the highest number that any batch ever had, including deleted ones; 0 if there was none."""
        found = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (self._name,)).fetchone()
        return found[0] if found else 0

    def entries(self, after: int = -1, last: int = _NEVER, limit: int = -1) -> Iterator[Batch]:
        """Yield the batches after the number `after` up to `last`, oldest first, at most `limit` (-1: all)."""
        rows = self._connection.execute(
            f"SELECT number, data FROM {self._table} WHERE number > ? AND number <= ? ORDER BY number LIMIT ?",
            (after, last, limit),
        )
        return (Batch(*row) for row in rows)

    def entries_before(self, number: int, limit: int) -> list[Batch]:
        """Return the batches below this number, newest first, at most `limit`."""
        rows = self._connection.execute(
            f"SELECT number, data FROM {self._table} WHERE number < ? ORDER BY number DESC LIMIT ?", (number, limit)
        )
        return [Batch(*row) for row in rows]

    def append(self, data: bytes, time: int) -> None:
        """Append a batch with the next number. `time`: microseconds since 1970."""
        self._connection.execute(
            f"INSERT INTO {self._table} (time, total, data) VALUES"
            f" (?, ? + coalesce((SELECT total FROM {self._table} ORDER BY number DESC LIMIT 1), 0), ?)",
            (time, len(data), data),
        )

    def trim(self, retention: Retention, now: int) -> None:
        """Delete batches beyond the retention, but never the newest one. `now`: microseconds since 1970."""
        if retention.age is not None:
            self._delete_until("time >= ?", now - round(retention.age.total_seconds() * 1_000_000))
        if retention.size is not None:
            total = f"(SELECT total FROM {self._table} ORDER BY number DESC LIMIT 1)"
            self._delete_until(f"total > {total} - ?", retention.size)

    def add_many(self, entries: Iterable[Batch]) -> None:
        """Add batches with their own numbers, in one transaction. An existing batch is not changed."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            for batch in entries:
                self._connection.execute(
                    f"INSERT OR IGNORE INTO {self._table} VALUES (?, 0, 0, ?)", (batch.number, batch.data)
                )

    def forget_before(self, number: int) -> None:
        """Delete the batches below this number."""
        self._connection.execute(f"DELETE FROM {self._table} WHERE number < ?", (number,))

    def _delete_until(self, condition: str, value: int) -> None:
        """Delete the oldest batches, before the first one that meets the condition, or before the newest one."""
        self._connection.execute(
            f"DELETE FROM {self._table} WHERE number < coalesce("
            f"(SELECT number FROM {self._table} WHERE {condition} ORDER BY number LIMIT 1),"
            f" (SELECT max(number) FROM {self._table}))",
            (value,),
        )
