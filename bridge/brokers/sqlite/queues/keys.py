"""The table of keys, synchronous: which event was deferred under a key, and until when a second one is a duplicate. The
first event with a key creates the table.
"""

import sqlite3
from datetime import timedelta

MICROSECOND = timedelta(microseconds=1)


class Keys:
    """The table, used in the transaction that publishes the event. A key counts for one event name. Times are in
    microseconds since 1970."""

    def __init__(self, name: str) -> None:
        self._name = name
        quoted = name.replace('"', '""')
        self._table = f'"{quoted}"'
        self._index = f'"{quoted}.until"'

    def first(self, connection: sqlite3.Connection, event_name: str, key: str, now: int) -> str | None:
        """Return the id of the event that holds the key now; None if there is none."""
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (self._name,)).fetchone():
            return None
        found = connection.execute(
            f"SELECT id FROM {self._table} WHERE event_name = ? AND key = ? AND until > ?", (event_name, key, now)
        ).fetchone()
        return None if found is None else str(found[0])

    def hold(
        self, connection: sqlite3.Connection, event_name: str, key: str, event_id: str, now: int, within: timedelta
    ) -> None:
        """Let the event hold the key for this time. Keys whose time is over are deleted."""
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (event_name TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL,"
            " until INTEGER NOT NULL, PRIMARY KEY (event_name, key)) WITHOUT ROWID"
        )
        connection.execute(f"CREATE INDEX IF NOT EXISTS {self._index} ON {self._table} (until)")
        connection.execute(f"DELETE FROM {self._table} WHERE until <= ?", (now,))
        connection.execute(
            f"INSERT INTO {self._table} VALUES (?, ?, ?, ?)", (event_name, key, event_id, now + within // MICROSECOND)
        )
