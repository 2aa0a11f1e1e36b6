"""A lock file: a right that a process has until it ends. Neither a clock nor a process id decides: the kernel releases
the `flock` when the holder ends, also by a kill. (A child forked without exec would hold it too; there are none.)

The lock of a file that belongs to a stranger is not believed, see `private_files`.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from bridge.local_database.private_files import PRIVATE, FileAccess

_LOCKS = Path("/proc/locks")
_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


class LockFile:
    """A lock file that this process holds."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path, access: FileAccess | None = None) -> Self | None:
        """Create the file with this access (default: this user alone) and lock it. Return None if another process has
        it. Raise `OSError` if that fails, or if the file is a link or belongs to a stranger."""
        access = access or FileAccess()
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, PRIVATE)
            try:
                _check(path, descriptor, access)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(path, descriptor):
                    access.give(descriptor)
                    return cls(path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its holder removed the file between the open and the lock: try again

    @property
    def in_place(self) -> bool:
        """True if the lock is held and the file is still at its path. If the file was removed, another process may hold
        a new one."""
        return self.descriptor >= 0 and _is_at(self.path, self.descriptor)

    def release(self) -> None:
        """Remove the file, and release the lock; a second call does nothing."""
        if self.descriptor < 0:
            return
        try:
            self.path.unlink(missing_ok=True)
        finally:  # a file that cannot be removed stays, unlocked
            os.close(self.descriptor)
            self.descriptor = -1


def is_held(path: Path, access: FileAccess | None = None) -> bool:
    """Return True if a process holds the lock file, also if this user may not open it. The file is not changed."""
    return not _free(path, access or FileAccess(), remove=False)


def remove_if_free(path: Path, access: FileAccess | None = None) -> bool:
    """Remove the lock file if its holder has ended. Return True if no process holds it: the file is gone, or belongs to
    a stranger."""
    return _free(path, access or FileAccess(), remove=True)


def holders() -> Mapping[int, int]:
    """Return the process id that holds a `flock` on each inode, as the kernel knows it. A process of another container
    is missing; on a system without /proc, all are."""
    try:
        lines = [line.split() for line in _LOCKS.read_text().splitlines()]
    except OSError:
        return {}
    # 1: FLOCK ADVISORY WRITE 512 08:01:1234 0 EOF
    return {int(words[5].rpartition(":")[2]): int(words[4]) for words in lines if words[1] == "FLOCK"}


def _free(path: Path, access: FileAccess, *, remove: bool) -> bool:
    """Return True if nobody that can be believed holds the lock file; then remove it, if asked to."""
    try:
        if not _believed(path.lstat(), access):
            return True
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.ELOOP:
            return True  # a link has replaced it just now
        if isinstance(error, PermissionError):
            return False  # a file of another user, which cannot be tested
        raise
    try:
        if not _believed(os.fstat(descriptor), access):
            return True
        fcntl.flock(descriptor, (fcntl.LOCK_EX if remove else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        if remove and _is_at(path, descriptor):
            path.unlink()
    except (BlockingIOError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True


def _check(path: Path, descriptor: int, access: FileAccess) -> None:
    """Raise `PermissionError` if the open file cannot be a lock file of this site."""
    found = os.fstat(descriptor)
    if not _believed(found, access):
        what = f"it belongs to user {found.st_uid}, or has another name, or is no plain file"
        raise PermissionError(errno.EPERM, what, str(path))


def _believed(found: os.stat_result, access: FileAccess) -> bool:
    plain = stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode)
    return plain and found.st_nlink <= 1 and access.trusts(found)  # 0 if its holder has just removed it


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
