"""SQLite alone: the table of entries as a disposable index of a ledger that is kept elsewhere."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.brokers.sqlite.ledger_table import LedgerTable
from bridge.ledger import Dead, Discarded, Entry, Redriven

AT = datetime(2031, 2, 3, 4, 5, 6, 789_001, tzinfo=UTC)
DEAD = Dead(0, AT, "mail", "rejected", "0190-1", "mail.sent", "ValueError", "naïve", 3)
ENTRIES: list[Entry] = [
    DEAD,
    Dead(5, AT + timedelta(days=1), "", "unroutable", "0190-2", "other", "unroutable", "", 0),
    Redriven(6, 0, AT, "ada", "fixed"),
    Discarded(9, 5, AT, "bob"),
]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[LedgerTable]:
    """An empty index."""
    table = LedgerTable.open(tmp_path / "index.db")
    yield table
    table.close()


def test_empty(table: LedgerTable) -> None:
    """An empty index has no last number."""
    assert table.last_number() is None
    assert list(table.entries()) == []


def test_entries_under_their_own_numbers(table: LedgerTable) -> None:
    """Entries come back as they were, gaps in their numbers included; the first number may be 0."""
    table.add_many(ENTRIES)

    assert list(table.entries()) == ENTRIES
    assert table.last_number() == 9


def test_kept(table: LedgerTable, tmp_path: Path) -> None:
    """What was added is there when the file is opened again, by another process too."""
    table.add_many(ENTRIES)

    again = LedgerTable.open(tmp_path / "index.db")

    assert list(again.entries()) == ENTRIES
    again.close()


def test_added_twice(table: LedgerTable) -> None:
    """Two processes may read the same stretch of the ledger into one index."""
    table.add_many(ENTRIES[:3])

    table.add_many(ENTRIES)

    assert list(table.entries()) == ENTRIES


def test_stretch(table: LedgerTable) -> None:
    """A reader can begin behind a number, end at one, and stop after so many."""
    table.add_many(ENTRIES)

    assert list(table.entries(after=0)) == ENTRIES[1:]
    assert list(table.entries(after=0, last=6)) == ENTRIES[1:3]
    assert list(table.entries(limit=2)) == ENTRIES[:2]


def test_no_letters(table: LedgerTable) -> None:
    """An index knows entries, and no letter whole."""
    table.add_many(ENTRIES)

    assert table.letter(0) is None


def test_all_or_nothing(table: LedgerTable) -> None:
    """Entries that cannot all be had are not added in part."""

    def breaking() -> Iterator[Entry]:
        yield DEAD
        raise ConnectionError

    with pytest.raises(ConnectionError):
        table.add_many(breaking())

    assert list(table.entries()) == []


def test_file_of_something_else(tmp_path: Path) -> None:
    """A file that is no database says so, for the owner to delete it and begin again."""
    (tmp_path / "index.db").write_bytes(b"not a database\n" * 100)

    with pytest.raises(sqlite3.DatabaseError):
        LedgerTable.open(tmp_path / "index.db")
