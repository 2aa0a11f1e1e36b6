"""The directories of control sockets: no name in /tmp is known beforehand, and programs of one user find each other."""

import os
import stat
from pathlib import Path

import pytest

from bridge.config.settings import load_settings
from bridge.config.values import Values
from tests.root import as_root
from worker.control import control_directory
from worker.control.control_directory import directories_of, directory_of, make_private, why_not_believed


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the test with a /run/user and a /tmp of its own, and without a session."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(control_directory, "_RUN", tmp_path / "run")
    monkeypatch.setattr(control_directory, "_TEMPORARY", tmp_path / "tmp")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path


def values(**given: str) -> Values:
    """Return settings with these values."""
    return load_settings(environ={}, command_line=given).values


def test_the_setting_is_the_only_place(places: Path) -> None:
    """With `control_directory`, no other place is looked into."""
    assert directories_of(values(control_directory="/run/shop")) == [Path("/run/shop")]


def test_a_session_has_its_directory(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program with a session and one without, such as a cron job, use the same directory."""
    own = places / "run" / str(os.geteuid())
    own.mkdir(parents=True)
    own.chmod(0o700)
    assert directory_of(values()) == own / "bridge"

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own))

    assert directories_of(values()) == [own / "bridge"]


@as_root
def test_the_session_of_another_user(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`su` leaves its directory to root, who may write there, but makes no files there."""
    theirs = places / "theirs"
    theirs.mkdir(0o700)
    os.chown(theirs, 54321, -1)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(theirs))

    assert directory_of(values()).parent == places / "tmp"


def test_without_a_session_the_name_is_random(places: Path) -> None:
    """Nobody can take the name beforehand, and the second program finds the directory of the first."""
    made = directory_of(values())

    assert made.parent == places / "tmp"
    assert made.name.startswith(f"bridge-{os.geteuid()}-")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert directory_of(values()) == made
    assert directories_of(values()) == [made]


def test_what_others_put_there_is_ignored(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that others can use, a file and a link do not count, and neither does a directory of another user."""
    uid = os.geteuid()
    (places / "tmp" / f"bridge-{uid}-a").mkdir(0o777)
    (places / "tmp" / f"bridge-{uid}-b").touch(0o700)
    (places / "real").mkdir(0o700)
    (places / "tmp" / f"bridge-{uid}-c").symlink_to(places / "real")
    assert directories_of(values()) == []
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    (places / "tmp" / "bridge-54321-d").mkdir(0o700)

    assert directories_of(values()) == []


def test_root_makes_no_files_in_a_directory_of_another_user(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user can make one with root's name in /tmp, where links could be put beside root's files. Root reads the
    sockets of another user only in the directory that the settings name."""
    planted = places / "tmp" / "bridge-0-x"
    planted.mkdir(0o700)
    os.chown(planted, os.getuid() or 1, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert directories_of(values()) == []
    assert directory_of(values()) != planted
    with pytest.raises(PermissionError, match="expected a directory of this user's own; it belongs to user"):
        make_private(planted)

    monkeypatch.chdir(planted.parent)  # the path in the settings is short
    assert directories_of(values(control_directory=planted.name)) == [Path(planted.name)]
    assert why_not_believed(planted) is None
