"""A benchmark of which one part fails keeps the other parts, and reports the failure."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks.contender import Contender, Promise
from benchmarks.figures import Figures
from benchmarks.gathering import WHY_KEPT, Gathering
from benchmarks.report import Table
from benchmarks.scale import Scale


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of the report."""
    return tmp_path / "RESULTS.md"


@pytest.fixture
def gathering(file: Path) -> Gathering:
    """A run of which nothing is measured yet."""
    return Gathering(file, Scale(), {"machine": "two cores"})


def measured() -> tuple[Contender, Figures]:
    """A contender and its figures."""
    promise = Promise(True, "SQLite, fsync", "bare function")
    return Contender("Huey", "sqlite", promise, ("worker",), lambda: nullcontext(lambda sent: None)), {"events/s": 1}


def missing() -> tuple[Contender, Figures]:
    """A contender whose library is not there."""
    raise ModuleNotFoundError("No module named 'celery'")


def stalled() -> Table:
    """A section whose measurement fails, at length."""
    raise AssertionError("no event left\nthe worker's log ends:\n" + "x" * 10_000)


def table() -> Table:
    """A section's table."""
    return Table("The pool", "Some kills.", (("what", "figure"), ("gap, ms", "7.2")))


def test_each_part_is_written_as_it_comes(gathering: Gathering, file: Path) -> None:
    """A part is written as soon as it is measured, so a later failure cannot lose it."""
    gathering.add_contender("huey", 1, measured)
    assert "| Huey " in file.read_text()
    gathering.add_section("pool", table)
    assert "| gap, ms | 7.2 " in file.read_text()


def test_what_fails_costs_the_others_nothing(gathering: Gathering, file: Path) -> None:
    """A peer that is missing, and a section that found no event: both are named, and all else is there."""
    gathering.add_contender("celery", 1, missing)
    gathering.add_contender("huey", 1, measured)
    gathering.add_section("spool", stalled)
    gathering.add_section("pool", table)

    written = file.read_text()
    assert "| Huey " in written
    assert "## The pool" in written
    assert "- celery, round 1: ModuleNotFoundError: No module named 'celery'" in written
    assert "- spool: AssertionError: no event left the worker's log ends:" in written
    assert list(gathering.failures) == ["celery, round 1", "spool"]
    assert max(map(len, gathering.failures.values())) == WHY_KEPT


def test_nothing_is_said_to_be_missing_where_all_was_measured(gathering: Gathering, file: Path) -> None:
    """The report ends with its last table."""
    gathering.add_section("pool", table)
    assert "Not measured" not in file.read_text()


def test_a_run_of_some_parts_writes_no_report(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its figures are printed."""
    Gathering(None, Scale(), {}).add_section("pool", table)
    assert not file.exists()
    assert "| gap, ms | 7.2 " in capsys.readouterr().out


def test_who_interrupts_the_run_ends_it(gathering: Gathering) -> None:
    """Ctrl-C is no failure of a part."""

    def interrupted() -> Table:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gathering.add_section("pool", interrupted)
