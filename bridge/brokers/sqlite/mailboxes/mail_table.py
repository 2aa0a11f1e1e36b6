"""The table of mailboxes, synchronous. The first use creates it. A message is held by an owner, whose lock file shows
whether its process lives: if not, the message can be fetched again. No clock is involved.
"""

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from bridge.handling import Priority
from bridge.mailbox import MOST_URGENT_FIRST

Lives = Callable[[str], bool]
"""Returns True if the process of this owner lives."""


class Fetched(NamedTuple):
    """A message that its owner holds now."""

    number: int
    priority: Priority
    body: bytes
    redelivered: bool


class MailTable:
    """The table, used in the transaction that is open."""

    def __init__(self, connection: sqlite3.Connection, prefix: str) -> None:
        self._connection = connection
        self._name = f"{prefix}.mail"
        quoted = self._name.replace('"', '""')
        self._table, self._index = f'"{quoted}"', f'"{quoted}.next"'

    def put(self, mailbox: str, priority: Priority, body: bytes) -> None:
        """Write a message."""
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (number INTEGER PRIMARY KEY AUTOINCREMENT,"
            " mailbox TEXT NOT NULL, rank INTEGER NOT NULL, body BLOB NOT NULL, owner TEXT,"
            " fetched INTEGER NOT NULL DEFAULT 0)"
        )
        self._connection.execute(
            f"CREATE INDEX IF NOT EXISTS {self._index} ON {self._table} (mailbox, owner, rank, number)"
        )
        self._connection.execute(
            f"INSERT INTO {self._table} (mailbox, rank, body) VALUES (?, ?, ?)",
            (mailbox, MOST_URGENT_FIRST.index(priority), body),
        )

    def fetch(self, mailbox: str, owner: str, lives: Lives) -> Fetched | None:
        """Give the next message of the mailbox to this owner; return None if there is none. Messages whose owners have
        ended can be fetched again."""
        if not self._exists():
            return None
        owners = self._connection.execute(
            f"SELECT DISTINCT owner FROM {self._table} WHERE mailbox = ? AND owner NOTNULL", (mailbox,)
        ).fetchall()
        for (other,) in owners:
            if other != owner and not lives(other):
                self._connection.execute(f"UPDATE {self._table} SET owner = NULL WHERE owner = ?", (other,))
        row = self._connection.execute(
            f"SELECT number, rank, body, fetched FROM {self._table} WHERE mailbox = ? AND owner ISNULL"
            " ORDER BY rank, number LIMIT 1",
            (mailbox,),
        ).fetchone()
        if row is None:
            return None
        number, rank, body, fetched = row
        self._connection.execute(
            f"UPDATE {self._table} SET owner = ?, fetched = fetched + 1 WHERE number = ?", (owner, number)
        )
        return Fetched(number, MOST_URGENT_FIRST[rank], body, fetched > 0)

    def delete(self, number: int, owner: str) -> bool:
        """Delete a message. Return False if this owner does not hold it any more."""
        if not self._exists():
            return False
        query = f"DELETE FROM {self._table} WHERE number = ? AND owner = ?"
        return self._connection.execute(query, (number, owner)).rowcount == 1

    def give_back(self, number: int, owner: str) -> None:
        """Return a message to its mailbox, to its place."""
        if self._exists():
            query = f"UPDATE {self._table} SET owner = NULL WHERE number = ? AND owner = ?"
            self._connection.execute(query, (number, owner))

    def _exists(self) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._connection.execute(query, (self._name,)).fetchone() is not None
