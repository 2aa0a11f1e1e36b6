"""The table of broadcasts, synchronous: messages to all listeners of a subject, and answers to questions. The first
message creates the table. Each write deletes the rows that are older than a minute.
"""

import sqlite3

from bridge.brokers.sqlite.queues.row import now_microseconds

KEPT_SECONDS = 60

Message = tuple[int, bool, bytes]
"""The number of a message, whether it is a question, and its data."""


class BroadcastTable:
    """The table, used in the transaction that is open."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        quoted = name.replace('"', '""')
        self._table = f'"{quoted}"'

    def last_number(self) -> int:
        """Return the highest number that any row ever had; 0 if there was none."""
        found = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (self._name,)).fetchone()
        return found[0] if found else 0

    def send(self, subject: str, data: bytes, *, asks: bool) -> int:
        """Write a message to all listeners; return its number."""
        return self._write(subject, None, asks, data)

    def answer(self, question: int, data: bytes) -> None:
        """Write an answer to the question of this number."""
        self._write("", question, False, data)

    def messages(self, subject: str, after: int) -> list[Message]:
        """Return the messages of a subject after this number, oldest first."""
        if not self._exists():
            return []
        rows = self._connection.execute(
            f"SELECT number, asks, data FROM {self._table}"
            " WHERE number > ? AND subject = ? AND question ISNULL ORDER BY number",
            (after, subject),
        )
        return [(number, bool(asks), data) for number, asks, data in rows]

    def answers(self, question: int) -> list[bytes]:
        """Return the answers to a question so far."""
        rows = self._connection.execute(
            f"SELECT data FROM {self._table} WHERE number > ? AND question = ? ORDER BY number", (question, question)
        )
        return [data for (data,) in rows]

    def take_answers(self, question: int) -> list[bytes]:
        """Return the answers to a question, and delete the question and its answers."""
        answers = self.answers(question)
        self._connection.execute(f"DELETE FROM {self._table} WHERE ? IN (number, question)", (question,))
        return answers

    def _write(self, subject: str, question: int | None, asks: bool, data: bytes) -> int:
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (number INTEGER PRIMARY KEY AUTOINCREMENT,"
            " time INTEGER NOT NULL, subject TEXT NOT NULL, question INTEGER, asks INTEGER NOT NULL,"
            " data BLOB NOT NULL)"
        )
        now, age_limit = now_microseconds(), KEPT_SECONDS * 1_000_000
        self._connection.execute(
            f"DELETE FROM {self._table} WHERE time NOT BETWEEN ? AND ?",
            (now - age_limit, now + age_limit),  # a row from the future: the clock was set back
        )
        inserted = self._connection.execute(
            f"INSERT INTO {self._table} (time, subject, question, asks, data) VALUES (?, ?, ?, ?, ?)",
            (now, subject, question, asks, data),
        )
        return inserted.lastrowid or 0

    def _exists(self) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._connection.execute(query, (self._name,)).fetchone() is not None
