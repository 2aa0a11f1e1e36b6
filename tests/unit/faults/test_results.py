"""The tables of results that are in the repository."""

from pathlib import Path

import pytest

from tests.faults.results import EXPLAINED, TABLE, read, write

TABLES = sorted(TABLE.parent.glob("RESULTS*.md"))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_a_table_is_explained_and_summed_as_it_is_written_today(table: Path, tmp_path: Path) -> None:
    """A table that is written again from its own rows is the same file."""
    runs, rows = read(table)
    assert rows

    write(tmp_path / "again.md", runs, rows)

    assert EXPLAINED in table.read_text()
    assert (tmp_path / "again.md").read_text() == table.read_text()
