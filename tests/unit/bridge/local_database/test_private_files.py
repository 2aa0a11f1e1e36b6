"""Private files: their mode, owner and group do not depend on the umask, and files of strangers are not believed."""

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import BrokerRefused
from bridge.local_database.lock_file import LockFile, is_held, remove_if_free
from bridge.local_database.private_files import FileAccess, make_database_file, make_private_folder, set_mode
from bridge.local_database.wakeups import CONSUMER_MARK, Wakeup, Wakeups

STRANGER = 54321


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run the test with this umask."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test as a user who owns no file and is not root."""
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("umask")
def test_files_and_folders_are_for_one_user(tmp_path: Path) -> None:
    """Whatever the umask, a database, a lock, a wake-up and a folder with its missing parents are for this user."""
    folder = tmp_path / "a" / "b"
    make_private_folder(folder)
    make_database_file(folder / "bridge.db", None)
    lock = LockFile.acquire(folder / "lock")
    wakeup = Wakeup.make(folder / "bridge.db", CONSUMER_MARK)

    assert (mode(tmp_path / "a"), mode(folder)) == (0o700, 0o700)
    assert (mode(folder / "bridge.db"), mode(folder / "lock"), mode(wakeup.path)) == (0o600, 0o600, 0o600)
    assert stat.S_ISFIFO(wakeup.path.lstat().st_mode)
    assert lock is not None
    lock.release()
    wakeup.end()


@pytest.mark.usefixtures("umask")
def test_files_are_shared_with_a_group(tmp_path: Path) -> None:
    """With a group, the database and the files next to it can be used by its members, and by nobody else."""
    group = os.getegid()
    path = tmp_path / "bridge.db"
    make_database_file(path, group)
    wakeup = Wakeup.make(path, CONSUMER_MARK)
    lock = LockFile.acquire(tmp_path / "lock", FileAccess.like(path))

    assert [(mode(each), each.lstat().st_gid) for each in (path, wakeup.path, tmp_path / "lock")] == [
        (0o660, group)
    ] * 3
    assert lock is not None
    lock.release()
    wakeup.end()


def test_an_existing_file_is_given_to_the_group(tmp_path: Path) -> None:
    """A site that sets `file_group` later shares the file and its journal."""
    path = tmp_path / "bridge.db"
    for part in ("", "-wal", "-shm"):
        path.with_name(f"bridge.db{part}").touch(0o600)

    make_database_file(path, os.getegid())

    assert [mode(path.with_name(f"bridge.db{part}")) for part in ("", "-wal", "-shm")] == [0o660] * 3


def test_an_existing_file_of_one_user_keeps_its_mode(tmp_path: Path) -> None:
    """The mode of an existing file is the site's decision; the doctor reports it. Files next to it are not wider."""
    path = tmp_path / "bridge.db"
    path.touch()
    path.chmod(0o644)

    make_database_file(path, None)

    assert (mode(path), FileAccess.like(path).mode) == (0o644, 0o600)


@pytest.mark.usefixtures("stranger")
def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """A planted database would receive the events; only `file_group` allows a file of another user."""
    path = tmp_path / "bridge.db"
    path.touch(0o666)
    os.chown(path, os.getuid() or 1, -1)

    with pytest.raises(BrokerRefused, match=rf"{path}: it belongs to user .* this is user {STRANGER}.*file_group"):
        make_database_file(path, None)
    with pytest.raises(BrokerRefused):
        make_database_file(path, path.stat().st_gid + 1)

    make_database_file(path, path.stat().st_gid)


def test_a_link_is_no_database(tmp_path: Path) -> None:
    """A link that appears after the name was resolved is not followed."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "bridge.db").symlink_to("victim")

    with pytest.raises(BrokerRefused, match="it is a link"):
        make_database_file(tmp_path / "bridge.db", None)


def test_the_mode_of_a_link_is_not_that_of_its_target(tmp_path: Path) -> None:
    """Another user can put a link in the place of a file that was just made."""
    (tmp_path / "victim").touch(0o600)
    (tmp_path / "file").symlink_to("victim")

    with pytest.raises(OSError, match="it is a link, which is not followed"):
        set_mode(tmp_path / "file", 0o666)

    assert mode(tmp_path / "victim") == 0o600


def test_to_set_the_mode_keeps_the_locks_of_sqlite(tmp_path: Path) -> None:
    """A lock of POSIX, as SQLite has them, ends when its process closes any other descriptor of the file."""
    path = tmp_path / "bridge.db"
    with path.open("w") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)

        set_mode(path, 0o660)

        command = f"import fcntl; fcntl.lockf(open({str(path)!r}, 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        other = subprocess.run([sys.executable, "-c", command], check=False, capture_output=True, text=True)
        assert "BlockingIOError" in other.stderr
    assert mode(path) == 0o660


@pytest.mark.parametrize("target", ["victim", "missing"])
def test_a_lock_file_follows_no_link(tmp_path: Path, target: str) -> None:
    """A link in the place of a lock file is an error; its target is neither made, locked nor changed."""
    victim = tmp_path / "victim"
    victim.touch(0o644)
    victim.chmod(0o644)
    (tmp_path / "lock").symlink_to(target)

    with pytest.raises(OSError, match="symbolic links"):
        LockFile.acquire(tmp_path / "lock")
    assert not is_held(tmp_path / "lock")
    assert remove_if_free(tmp_path / "lock")

    assert (mode(victim), (tmp_path / "missing").exists(), (tmp_path / "lock").is_symlink()) == (0o644, False, True)


def test_a_lock_file_with_two_names_is_an_error(tmp_path: Path) -> None:
    """A hard link to another file of this user is neither locked nor changed."""
    (tmp_path / "victim").touch(0o644)
    os.link(tmp_path / "victim", tmp_path / "lock")

    with pytest.raises(PermissionError, match="another name"):
        LockFile.acquire(tmp_path / "lock")


def test_a_folder_is_no_lock_file(tmp_path: Path) -> None:
    """A directory in the place of a lock file is an error."""
    (tmp_path / "lock").mkdir()

    with pytest.raises(OSError, match="lock"):
        LockFile.acquire(tmp_path / "lock")
    assert not is_held(tmp_path / "lock")


def test_a_lock_of_a_stranger_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked file of another user holds nothing: neither a lease nor a claim. A file of the group's members does."""
    path = tmp_path / "lock"
    with path.open("w") as held:
        path.chmod(0o666)
        os.chown(path, os.getuid() or 1, -1)
        fcntl.flock(held, fcntl.LOCK_EX)
        owner = path.stat().st_uid
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)

        assert not is_held(path, FileAccess())
        assert remove_if_free(path, FileAccess())
        assert path.exists()
        with pytest.raises(PermissionError, match=f"belongs to user {owner}"):
            LockFile.acquire(path, FileAccess())

        for access in (FileAccess(group=path.stat().st_gid), FileAccess(owner=owner)):
            assert is_held(path, access)
            assert not remove_if_free(path, access)
            assert LockFile.acquire(path, access) is None


@pytest.mark.parametrize("linked", [False, True])
def test_a_wake_up_writes_into_fifos_only(tmp_path: Path, linked: bool) -> None:
    """A file, or a link to one, that has the name of a wake-up is not written."""
    victim = tmp_path / "victim"
    name = tmp_path / f"bridge.db{CONSUMER_MARK}x"
    victim.write_text("precious")
    if linked:
        name.symlink_to(victim)
    else:
        victim.rename(name)

    Wakeups(tmp_path / "bridge.db").wake_others({CONSUMER_MARK})

    assert name.read_text() == "precious"
