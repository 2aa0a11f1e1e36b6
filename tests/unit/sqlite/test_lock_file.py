"""A lock file whose directory does not let it be removed."""

from pathlib import Path
from typing import NoReturn

import pytest

from bridge.brokers.sqlite.lock_file import LockFile


def test_a_lock_whose_file_cannot_be_removed_is_free_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that stays is one that nobody holds."""
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
