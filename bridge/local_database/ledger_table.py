"""A table of ledger entries, synchronous. For the embedded broker it is the ledger itself, with whole letters; for a
ledger on another broker it is a local index of the entries only (`local_index`).
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.attempt import Error, encodable
from bridge.errors import UnreadableEnvelope
from bridge.handling import PLAIN
from bridge.json_fields import number
from bridge.ledger import ERASED, Dead, Discarded, Entry, Letter, Redriven, Skipped, summary
from bridge.letter_text import decode_letter, encode_letter

_COLUMNS = (
    "number, kind, letter, time, queue, reason, event_id, event_name, error_type, error_message, attempts, actor, note"
)
_READ = ", ".join(
    f"CAST({column} AS BLOB)" if column not in ("number", "letter", "time", "attempts") else column
    for column in _COLUMNS.split(", ")
)
"""The columns as they are read: text as bytes, because text that is not UTF-8 would raise, and no entry of the table
could be read."""
_LAST = 2**63 - 1
"""The largest number that SQLite can have."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LedgerTable:
    """The entries, by number. Except `add_many`, the methods use the transaction that is open.

    The row of a letter has the release that failed in `actor`, and the place of the error in `note`: a file of an
    earlier version has these columns too.
    """

    def __init__(self, connection: sqlite3.Connection, name: str = "ledger") -> None:
        self._connection = connection
        quoted = name.replace('"', '""')
        self._table = f'"{quoted}"'
        self._index = f'"{quoted}.letter"'

    def create(self) -> None:
        """Create the table if it does not exist."""
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
            " letter INTEGER, time INTEGER NOT NULL, queue TEXT, reason TEXT, event_id TEXT, event_name TEXT,"
            " error_type TEXT, error_message TEXT, attempts INTEGER, actor TEXT, note TEXT, head TEXT, data BLOB)"
        )
        self._connection.execute(
            f"CREATE INDEX IF NOT EXISTS {self._index} ON {self._table} (letter) WHERE letter IS NOT NULL"
        )

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._connection.close()

    def last_number(self) -> int | None:
        """Return the number of the newest entry; None if there is none."""
        number: int | None = self._connection.execute(f"SELECT max(number) FROM {self._table}").fetchone()[0]
        return number

    def entries(self, after: int = -1, last: int = _LAST, limit: int = -1) -> Iterator[Entry]:
        """Yield the entries after the number `after` up to `last`, oldest first, at most `limit` (-1: all). A row that
        another program wrote, and that is no entry, is `Skipped`."""
        rows = self._connection.execute(
            f"SELECT {_READ} FROM {self._table} WHERE number > ? AND number <= ? ORDER BY number LIMIT ?",
            (after, last, limit),
        )
        return map(_entry, rows)

    def entries_before(self, number: int, limit: int) -> list[Entry]:
        """Return the newest entries below this number, newest first, at most `limit`."""
        rows = self._connection.execute(
            f"SELECT {_READ} FROM {self._table} WHERE number < ? ORDER BY number DESC LIMIT ?", (number, limit)
        )
        return list(map(_entry, rows))

    def add_many(self, entries: Iterable[Entry]) -> None:
        """Add entries with their own numbers, in one transaction. An existing entry is not changed."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            for entry in entries:
                self._insert(entry, entry.number)

    def forget_before(self, number: int) -> None:
        """Delete the entries below this number."""
        self._connection.execute(f"DELETE FROM {self._table} WHERE number < ?", (number,))

    def append(self, entry: Redriven | Discarded) -> None:
        """Append a decision with the next number; the number in `entry` is ignored."""
        self._insert(entry, None)

    def append_letter(self, letter: Letter) -> None:
        """Append a whole dead letter with the next number."""
        entry = summary(0, replace(letter, error=letter.error.bounded()))
        self._insert(entry, None, encode_letter(letter), letter.envelope.event.data)

    def letter(self, number: int) -> Letter | None:
        """Return the whole dead letter of this number; None if the table has no such letter. Raise
        `UnreadableEnvelope` if the letter is damaged, or of a later version."""
        if number > _LAST:
            return None
        row = self._connection.execute(
            f"SELECT CAST(head AS BLOB), CAST(data AS BLOB) FROM {self._table} WHERE number = ? AND kind = 'dead'",
            (number,),
        ).fetchone()
        return decode_letter(row[0], row[1] or b"") if row is not None and row[0] is not None else None

    def erase(self, number: int) -> bool:
        """Overwrite the data, the transcript and the texts of the errors of a letter. Return False if there is no such
        letter. The pages are overwritten in the file when the journal is written back."""
        self._connection.execute("PRAGMA secure_delete = ON")
        try:
            letter = self.letter(number)
        except UnreadableEnvelope:
            letter = None
        head = None if letter is None else encode_letter(_erased(letter))
        changed = self._connection.execute(
            f"UPDATE {self._table} SET head = ?, data = x'', error_message = ? WHERE number = ?"
            " AND kind IN ('dead', 'unproven')",
            (head, ERASED, number),
        )
        return changed.rowcount > 0

    def is_open(self, number: int) -> bool:
        """Return True if a dead letter of this number waits for a decision."""
        row = self._connection.execute(
            f"SELECT 1 FROM {self._table} AS dead WHERE number = ? AND kind IN ('dead', 'unproven')"
            f" AND NOT EXISTS (SELECT 1 FROM {self._table} WHERE letter = dead.number)",
            (number,),
        ).fetchone()
        return row is not None

    def _insert(self, entry: Entry, number: int | None, head: str | None = None, data: bytes | None = None) -> None:
        values = (*(encodable(each) if isinstance(each, str) else each for each in _row(entry)), head, data)
        self._connection.execute(
            f"INSERT OR IGNORE INTO {self._table} ({_COLUMNS}, head, data) VALUES ({', '.join('?' * 15)})",
            (number, *values),
        )


def _erased(letter: Letter) -> Letter:
    event = letter.envelope.event._replace(data=b"", traceparent=None, handling=PLAIN)
    attempts = tuple(
        replace(each, error=each.error and Error(each.error.type, ERASED)) for each in letter.envelope.attempts
    )
    envelope = letter.envelope._replace(event=event, attempts=attempts, first_error=None)
    return replace(letter, envelope=envelope, error=Error(letter.error.type, ERASED), transcript=None, unread=None)


def microseconds(moment: datetime) -> int:
    """Return the moment as whole microseconds since 1970, as all tables store it."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _row(entry: Entry) -> tuple[Any, ...]:
    """Return the columns from `kind` to `note`."""
    match entry:
        case Dead():
            of_event = (entry.queue, entry.reason, entry.event_id, entry.event_name)
            error = (entry.error_type, entry.error_message, entry.attempts)
            kind = "dead" if entry.believed else "unproven"
            return (kind, None, microseconds(entry.time), *of_event, *error, entry.release, entry.place)
        case Skipped(why=why):
            return ("skipped", None, 0, *(None,) * 7, None, why)
    kind = "redriven" if isinstance(entry, Redriven) else "discarded"
    return (kind, entry.letter, microseconds(entry.time), *(None,) * 7, entry.actor, entry.note)


def _entry(row: Sequence[Any]) -> Entry:
    try:
        return _read(*row)
    except (ValueError, OverflowError) as error:
        return Skipped(row[0], f"a damaged row of the ledger: {error}")


def _read(own_number: int, kind: object, letter: object, time: object, *others: object) -> Entry:
    *of_event, attempts, actor, note = others
    match _text(kind):
        case "dead" | "unproven" as found:
            queue, reason, event_id, event_name, error_type, message = map(_text, of_event)
            names = (queue, reason, event_id, event_name, error_type, message)
            place, release = _text_or_none(note), _text_or_none(actor)
            return Dead(own_number, _time(time), *names, number(attempts), found == "dead", place, release)
        case "skipped":
            return Skipped(own_number, _text(note))
        case "redriven":
            return Redriven(own_number, number(letter), _time(time), _text(actor), _text(note))
        case "discarded":
            return Discarded(own_number, number(letter), _time(time), _text(actor), _text(note))
        case other:
            raise ValueError(f"unknown kind {other!r:.80}")


def _text(column: object) -> str:
    if not isinstance(column, bytes):
        raise ValueError(f"expected text, got {type(column).__name__}")  # noqa: TRY004  # a wrong value
    return column.decode()


def _text_or_none(column: object) -> str | None:
    return None if column is None else _text(column)


def _time(column: object) -> datetime:
    if not isinstance(column, int):
        raise ValueError(f"expected a time, got {type(column).__name__}")  # noqa: TRY004
    return _EPOCH + timedelta(microseconds=column)
