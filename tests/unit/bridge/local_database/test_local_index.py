"""The place of a local index: this user's cache, or memory if the user has none."""

import logging
import pwd
from pathlib import Path

import pytest

from bridge.local_database.ledger_table import LedgerTable
from bridge.local_database.local_index import open_index


def index_files(folder: Path) -> list[str]:
    """Return the indexes below a folder."""
    return [path.name for path in folder.rglob("*.db")]


@pytest.mark.parametrize("cache", [None, "", "relative"])
def test_the_cache_is_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str | None) -> None:
    """Also if XDG_CACHE_HOME is empty or relative."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False) if cache is None else monkeypatch.setenv(
        "XDG_CACHE_HOME", cache
    )

    open_index("a log", LedgerTable).close()

    assert len(index_files(tmp_path / "home" / ".cache" / "deferred-event-bridge")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("home", [None, "", "relative", "/proc/nowhere"])
def test_without_a_home_the_index_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, home: str | None
) -> None:
    """A user of a container may have none. That is a warning, and nothing is written to the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(pwd, "getpwuid", unknown_user)
    with caplog.at_level(logging.WARNING):
        index = open_index("a log", LedgerTable)

    assert list(index.entries()) == []
    index.close()
    assert "cannot use a local index of a log: " in caplog.text
    assert list(tmp_path.iterdir()) == []


def unknown_user(number: int) -> None:
    """Fail as for a user that /etc/passwd does not name."""
    raise KeyError(f"getpwuid(): uid not found: {number}")
