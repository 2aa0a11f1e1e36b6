"""A table of ledger entries, synchronous. For the embedded broker it is the ledger itself, with every letter whole; for
a ledger that is kept elsewhere it is a disposable local index of the entries alone (`LedgerTable.open`).
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from bridge.ledger import Dead, Discarded, Entry, Letter, Redriven, decode_letter, encode_letter, summary

_COLUMNS = (
    "number, kind, letter, time, queue, reason, event_id, event_name, error_type, error_message, attempts, actor, note"
)
_NEVER = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LedgerTable:
    """The entries, by number. Opens and commits no transaction of its own but in `add_many`."""

    def __init__(self, connection: sqlite3.Connection, name: str = "ledger") -> None:
        self._connection = connection
        quoted = name.replace('"', '""')
        self._table = f'"{quoted}"'
        self._index = f'"{quoted}.letter"'

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open, or make, an index of its own file; it can be deleted at any time. Several processes may have it open.

        Raise `sqlite3.DatabaseError` where the file cannot be used.
        """
        connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")  # what a crash takes can be read again from the ledger
            table = cls(connection)
            table.create()
        except BaseException:
            connection.close()
            raise
        return table

    def create(self) -> None:
        """Create the table where it is not there yet."""
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
            " letter INTEGER, time INTEGER NOT NULL, queue TEXT, reason TEXT, event_id TEXT, event_name TEXT,"
            " error_type TEXT, error_message TEXT, attempts INTEGER, actor TEXT, note TEXT, head TEXT, data BLOB)"
        )
        self._connection.execute(
            f"CREATE INDEX IF NOT EXISTS {self._index} ON {self._table} (letter) WHERE letter IS NOT NULL"
        )

    def close(self) -> None:
        """Close the connection; twice is as good as once."""
        self._connection.close()

    def last_number(self) -> int | None:
        """Return the number of the newest entry; None where there is none."""
        number: int | None = self._connection.execute(f"SELECT max(number) FROM {self._table}").fetchone()[0]
        return number

    def entries(self, after: int = -1, last: int = _NEVER, limit: int = -1) -> Iterator[Entry]:
        """Yield the entries beyond the number `after` to the number `last`, oldest first, at most `limit` (-1: all)."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM {self._table} WHERE number > ? AND number <= ? ORDER BY number LIMIT ?",
            (after, last, limit),
        )
        return map(_entry, rows)

    def add_many(self, entries: Iterable[Entry]) -> None:
        """Add entries under their own numbers, in one transaction. What is there already stays as it is."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            for entry in entries:
                self._insert(entry, entry.number)

    def append(self, entry: Redriven | Discarded) -> None:
        """Append a decision under the next number, which takes the place of the entry's own."""
        self._insert(entry, None)

    def append_letter(self, letter: Letter) -> None:
        """Append a dead letter, whole, under the next number."""
        entry = summary(0, replace(letter, error=letter.error.bounded()))
        self._insert(entry, None, encode_letter(letter), letter.envelope.event.data)

    def letter(self, number: int) -> Letter | None:
        """Return one dead letter whole; None where the table holds none of this number. Raise `UnreadableEnvelope`
        where it is damaged, or of a later version."""
        row = self._connection.execute(
            f"SELECT head, data FROM {self._table} WHERE number = ? AND kind = 'dead'", (number,)
        ).fetchone()
        return decode_letter(*row) if row is not None and row[0] is not None else None

    def is_open(self, number: int) -> bool:
        """Tell whether a dead letter of this number waits for a decision."""
        row = self._connection.execute(
            f"SELECT 1 FROM {self._table} AS dead WHERE number = ? AND kind = 'dead'"
            f" AND NOT EXISTS (SELECT 1 FROM {self._table} WHERE letter = dead.number)",
            (number,),
        ).fetchone()
        return row is not None

    def _insert(self, entry: Entry, number: int | None, head: str | None = None, data: bytes | None = None) -> None:
        values = (*_row(entry), head, data)
        self._connection.execute(
            f"INSERT OR IGNORE INTO {self._table} ({_COLUMNS}, head, data) VALUES ({', '.join('?' * 15)})",
            (number, *values),
        )


def microseconds(moment: datetime) -> int:
    """Return the moment as whole microseconds since 1970, as all tables keep it."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _row(entry: Entry) -> tuple[Any, ...]:
    """Return the columns from `kind` to `note`."""
    time = microseconds(entry.time)
    if isinstance(entry, Dead):
        of_event = (entry.queue, entry.reason, entry.event_id, entry.event_name)
        return ("dead", None, time, *of_event, entry.error_type, entry.error_message, entry.attempts, None, None)
    kind = "redriven" if isinstance(entry, Redriven) else "discarded"
    return (kind, entry.letter, time, None, None, None, None, None, None, None, entry.actor, entry.note)


def _entry(row: tuple[Any, ...]) -> Entry:
    number, kind, letter, time, queue, reason, event_id, event_name, error_type, message, attempts, actor, note = row
    at = _EPOCH + timedelta(microseconds=time)
    if kind == "dead":
        return Dead(number, at, queue, reason, event_id, event_name, error_type, message, attempts)
    decision = Redriven if kind == "redriven" else Discarded
    return decision(number, letter, at, actor, note)
