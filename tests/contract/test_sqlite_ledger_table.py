"""SQLite only: the table of entries as the local index of a ledger on another broker."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.ledger import Dead, Discarded, Entry, Redriven
from bridge.local_database.ledger_table import LedgerTable
from bridge.local_database.local_index import open_index_file

AT = datetime(2031, 2, 3, 4, 5, 6, 789_001, tzinfo=UTC)
DEAD = Dead(
    *(0, AT, "mail", "rejected", "0190-1", "mail.sent", "ValueError", "naïve", 3, True), "shop/mails.py grüße", "v42"
)
ENTRIES: list[Entry] = [
    DEAD,
    Dead(5, AT + timedelta(days=1), "", "unroutable", "0190-2", "other", "unroutable", "", 0),
    Redriven(6, 0, AT, "ada", "fixed"),
    Discarded(9, 5, AT, "bob"),
]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[LedgerTable]:
    """An empty index."""
    table = open_index_file(tmp_path / "index.db", LedgerTable)
    yield table
    table.close()


def test_empty(table: LedgerTable) -> None:
    """An empty index has no last number."""
    assert table.last_number() is None
    assert list(table.entries()) == []


def test_entries_under_their_own_numbers(table: LedgerTable) -> None:
    """Entries keep their numbers, with gaps; the first number may be 0."""
    table.add_many(ENTRIES)

    assert list(table.entries()) == ENTRIES
    assert table.last_number() == 9


def test_kept(table: LedgerTable, tmp_path: Path) -> None:
    """Entries are still there when the file is opened again, also by another process."""
    table.add_many(ENTRIES)

    again = open_index_file(tmp_path / "index.db", LedgerTable)

    assert list(again.entries()) == ENTRIES
    again.close()


def test_added_twice(table: LedgerTable) -> None:
    """Two processes may add the same entries to one index."""
    table.add_many(ENTRIES[:3])

    table.add_many(ENTRIES)

    assert list(table.entries()) == ENTRIES


def test_stretch(table: LedgerTable) -> None:
    """A reader can begin after a number, end at one, and limit the number of entries."""
    table.add_many(ENTRIES)

    assert list(table.entries(after=0)) == ENTRIES[1:]
    assert list(table.entries(after=0, last=6)) == ENTRIES[1:3]
    assert list(table.entries(limit=2)) == ENTRIES[:2]


def test_forgotten(table: LedgerTable) -> None:
    """Entries that the ledger no longer has are removed from the index."""
    table.add_many(ENTRIES)

    table.forget_before(5)

    assert list(table.entries()) == ENTRIES[1:]


def test_no_letters(table: LedgerTable) -> None:
    """An index has entries, and no whole letters."""
    table.add_many(ENTRIES)

    assert table.letter(0) is None


def test_all_or_nothing(table: LedgerTable) -> None:
    """If one of several entries cannot be added, none is."""

    def breaking() -> Iterator[Entry]:
        yield DEAD
        raise ConnectionError

    with pytest.raises(ConnectionError):
        table.add_many(breaking())

    assert list(table.entries()) == []


def test_file_of_something_else(tmp_path: Path) -> None:
    """A file that is no database raises, so that its owner can replace it."""
    (tmp_path / "index.db").write_bytes(b"not a database\n" * 100)

    with pytest.raises(sqlite3.DatabaseError):
        open_index_file(tmp_path / "index.db", LedgerTable)
