"""Lock files: one process holds a lock file, and an unlocked one can be removed."""

import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from bridge.local_database.lock_file import LockFile, remove_if_free


@pytest.fixture
def held(tmp_path: Path) -> Iterator[LockFile]:
    """A lock file that this process holds."""
    lock = LockFile.acquire(tmp_path / "lock")
    assert lock is not None
    yield lock
    lock.release()


def test_lock_file_is_held_by_one(held: LockFile) -> None:
    """A held lock file can be neither acquired nor removed by another process."""
    assert LockFile.acquire(held.path) is None
    assert not remove_if_free(held.path)
    assert held.path.exists()


def test_lock_file_released(held: LockFile) -> None:
    """A released lock file is gone and can be acquired again; releasing twice does nothing."""
    held.release()
    assert not held.path.exists()
    second = LockFile.acquire(held.path)

    held.release()

    assert second is not None
    assert LockFile.acquire(held.path) is None
    second.release()


def test_free_lock_file_is_removed(tmp_path: Path) -> None:
    """An unlocked file is removed; a missing file counts as removed."""
    path = tmp_path / "lock"
    path.touch()

    assert remove_if_free(path)

    assert not path.exists()
    assert remove_if_free(path)


def test_lock_file_removed_before_it_was_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file is removed between its creation and its lock, it is created again."""
    path, lock = tmp_path / "lock", fcntl.flock

    def remove_first(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        assert remove_if_free(path)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)

    held = LockFile.acquire(path)

    assert held is not None
    assert not remove_if_free(path)
    held.release()


def test_a_lock_whose_file_cannot_be_removed_is_free_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A released file that cannot be removed is not locked."""
    path = tmp_path / "lock"
    lock = LockFile.acquire(path)
    assert lock is not None

    def read_only(path: Path, missing_ok: bool = False) -> NoReturn:
        raise PermissionError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", read_only)
        with pytest.raises(PermissionError):
            lock.release()

    again = LockFile.acquire(path)
    assert again is not None
    again.release()
