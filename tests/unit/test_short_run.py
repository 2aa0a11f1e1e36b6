"""The table of what `make test` runs: it names what there is, and each folder has something."""

from pathlib import Path

import pytest

from tests import short_run
from tests.short_run import ALL, FIRST, LONG, NONE, SHORT_RUN, Collected, Share, left_to_test_all

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("beginning", SHORT_RUN)
def test_an_entry_names_modules_and_tests(beginning: str) -> None:
    """A name that no test has would leave out its module."""
    path = ROOT / beginning
    assert path.is_dir() if beginning.endswith("/") else path.is_file()
    for name in {*SHORT_RUN[beginning]} - {ALL, FIRST, NONE}:
        assert f"def {name}" in path.read_text("utf-8")


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in LONG.items() for name in names])
def test_a_long_test_exists(path: str, name: str) -> None:
    """Else the entry does nothing."""
    assert f"def {name.partition('[')[0]}" in (ROOT / path).read_text("utf-8")


def left(monkeypatch: pytest.MonkeyPatch, table: dict[str, Share], *tests: Collected) -> list[str]:
    """Return the names of the tests that this table leaves to `make test-all`."""
    monkeypatch.setattr(short_run, "SHORT_RUN", table)
    monkeypatch.setattr(short_run, "LONG", {"a/b.py": ["test_5"]})
    return [tests[place].name for place in left_to_test_all(tests)]


def some(path: str, *, rabbitmq: bool = False, long: bool = False) -> list[Collected]:
    """Return the tests test_1 to test_5 of a module. `long`: the first one has that mark."""
    return [Collected(path, f"test_{number}", rabbitmq, long and number == 1) for number in range(1, 6)]


@pytest.mark.parametrize(
    ("share", "expected"), [(ALL, "5"), (FIRST, "2345"), (NONE, "12345"), ("test_3", "1245"), ("test_5", "12345")]
)
def test_a_share_of_a_module(monkeypatch: pytest.MonkeyPatch, share: str, expected: str) -> None:
    """All, the first, none, or the one that is named; never those that are long."""
    assert left(monkeypatch, {"a/": Share(share)}, *some("a/b.py")) == [f"test_{each}" for each in expected]


def test_the_first_is_the_first_that_is_not_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark on the first test leaves its place to the second one."""
    expected = ["test_1", "test_3", "test_4", "test_5"]
    assert left(monkeypatch, {"a/": Share(FIRST)}, *some("a/b.py", long=True)) == expected


def test_the_longest_beginning_counts_for_each_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests marked `rabbitmq` have a share of their own."""
    table = {"": Share(NONE, NONE), "a/": Share(ALL, NONE), "a/c.py": Share(NONE, FIRST)}
    tests = [*some("a/b.py"), *some("a/c.py", rabbitmq=True), *some("d.py")]

    assert left(monkeypatch, table, *tests) == [
        "test_5",
        *["test_2", "test_3", "test_4", "test_5"],
        *["test_1", "test_2", "test_3", "test_4", "test_5"],
    ]


@pytest.mark.parametrize("folder", ["contract", "dashboard", "faults", "journey", "outbox", "sidekiq", "unit"])
def test_each_folder_has_something(folder: str) -> None:
    """Each area of the product is touched."""
    modules = (ROOT / "tests" / folder).rglob("test_*.py")
    paths = [module.relative_to(ROOT).as_posix() for module in modules]
    shares = [short_run.share_of(Collected(path, "", False, False)) for path in paths]
    assert set(shares) - {NONE}
