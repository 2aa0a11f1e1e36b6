"""The tables of calls, synchronous: questions with their answers, and the workers that serve queues now. The first
call or worker creates them. A worker is an owner whose lock file is held, so a killed worker is seen at once.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from bridge.brokers.sqlite.queues.row import now_microseconds

KEPT_SECONDS = 60
"""Seconds that a question stays after its time if its caller has ended."""

Lives = Callable[[str], bool]
"""Returns True if the process of this owner lives."""


class Taken(NamedTuple):
    """A question that a worker has taken."""

    number: int
    queue: str
    question: bytes


class Unanswered(NamedTuple):
    """The questions of a caller that get no answer any more: their worker is gone, or no worker is left."""

    lost: list[int]
    unserved: list[int]


class CallTable:
    """The tables, used in the transaction that is open."""

    def __init__(self, connection: sqlite3.Connection, prefix: str) -> None:
        self._connection = connection
        self._name = f"{prefix}.call"
        quoted = self._name.replace('"', '""')
        self._calls, self._workers = f'"{quoted}"', f'"{quoted}.worker"'

    def serve(self, owner: str, queues: Iterable[str]) -> None:
        """Note that this owner serves these queues."""
        self._create()
        self._connection.executemany(
            f"INSERT OR IGNORE INTO {self._workers} (queue, owner) VALUES (?, ?)", [(queue, owner) for queue in queues]
        )

    def leave(self, owner: str) -> None:
        """Note that this owner serves no queue any more."""
        if self._exists():
            self._connection.execute(f"DELETE FROM {self._workers} WHERE owner = ?", (owner,))

    def ask(
        self, question: bytes, queues: Sequence[str], seconds: float, done: Sequence[int], lives: Lives
    ) -> int | None:
        """Write a question, which expires after `seconds`, to the first of these queues that a living worker serves.
        Return its number; None if no worker serves any of them. Delete the questions in `done`, and those whose callers
        have ended."""
        self._create()
        now = now_microseconds()
        self._connection.execute(
            f"DELETE FROM {self._calls} WHERE number IN (SELECT value FROM json_each(?)) OR until < ?",
            (json.dumps(done), now - KEPT_SECONDS * 1_000_000),
        )
        for queue in queues:
            if self._is_served(queue, lives):
                # Numbers begin at the time, so a number of a file that was replaced is no question in the new one.
                written = self._connection.execute(
                    f"INSERT INTO {self._calls} (number, until, queue, question)"
                    f" SELECT max(coalesce(max(number), 0) + 1, ?), ?, ?, ? FROM {self._calls}",
                    (now, now + round(seconds * 1_000_000), queue, question),
                )
                return written.lastrowid
        return None

    def take(self, owner: str, queues: Sequence[str], most: int) -> list[Taken]:
        """Give questions of these queues whose time is not over to this owner, the oldest first."""
        if not self._exists() or self._served_by(owner) < len(queues):
            self.serve(owner, queues)  # the file is new
        rows = self._connection.execute(
            f"SELECT number, queue, question FROM {self._calls} WHERE owner ISNULL AND until > ?"
            " AND queue IN (SELECT value FROM json_each(?)) ORDER BY number LIMIT ?",
            (now_microseconds(), json.dumps(queues), most),
        ).fetchall()
        if rows:
            self._connection.executemany(
                f"UPDATE {self._calls} SET owner = ? WHERE number = ?", [(owner, number) for number, _, _ in rows]
            )
        return [Taken(*row) for row in rows]

    def answer(self, number: int, answer: bytes) -> None:
        """Write the answer, if its question is still there."""
        self._connection.execute(f"UPDATE {self._calls} SET answer = ? WHERE number = ?", (answer, number))

    def answers(self, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the answers to these questions, as far as there are any."""
        return self._connection.execute(
            f"SELECT number, answer FROM {self._calls}"
            " WHERE number IN (SELECT value FROM json_each(?)) AND answer NOTNULL",
            (json.dumps(numbers),),
        ).fetchall()

    def unanswered(self, numbers: Sequence[int], lives: Lives) -> Unanswered:
        """Return which of these questions get no answer any more, and delete those that no worker has taken."""
        self._create()  # the file may be new
        rows = self._connection.execute(
            f"SELECT number, queue, owner, answer NOTNULL FROM {self._calls}"
            " WHERE number IN (SELECT value FROM json_each(?))",
            (json.dumps(numbers),),
        ).fetchall()
        lost = set(numbers) - {number for number, *_ in rows}  # the file was replaced
        lost |= {number for number, _, owner, done in rows if owner is not None and not done and not lives(owner)}
        served = {queue: self._is_served(queue, lives) for _, queue, owner, _ in rows if owner is None}
        unserved = [number for number, queue, owner, _ in rows if owner is None and not served[queue]]
        self._connection.executemany(f"DELETE FROM {self._calls} WHERE number = ?", [(each,) for each in unserved])
        return Unanswered(sorted(lost), unserved)

    def _is_served(self, queue: str, lives: Lives) -> bool:
        """Return True if a living worker serves the queue. Workers that have ended are removed."""
        owners = self._connection.execute(f"SELECT owner FROM {self._workers} WHERE queue = ?", (queue,)).fetchall()
        for (owner,) in owners:
            if lives(owner):
                return True
            self.leave(owner)
        return False

    def _served_by(self, owner: str) -> int:
        """Count the queues that this owner is noted for."""
        query = f"SELECT count(*) FROM {self._workers} WHERE owner = ?"
        return int(self._connection.execute(query, (owner,)).fetchone()[0])

    def _create(self) -> None:
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._calls} (number INTEGER PRIMARY KEY AUTOINCREMENT,"
            " until INTEGER NOT NULL, queue TEXT NOT NULL, owner TEXT, question BLOB NOT NULL, answer BLOB)"
        )
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._workers} (queue TEXT, owner TEXT, PRIMARY KEY (queue, owner))"
            " WITHOUT ROWID"
        )

    def _exists(self) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._connection.execute(query, (f"{self._name}.worker",)).fetchone() is not None
