"""A lock file: a right that a process holds for as long as it lives. No clock and no pid decides: the kernel lets go of
`flock` when the holder ends, however it ends. A child that is forked without exec would hold it as well; none is.
"""

import fcntl
import os
from pathlib import Path
from typing import Self


class LockFile:
    """A lock file that this process holds."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path) -> Self | None:
        """Make the file and hold it; None where somebody else holds it. Raise `OSError` where it cannot be made."""
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(path, descriptor):
                    return cls(path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its holder removed it between our open and our lock

    def write(self, text: str) -> None:
        """Put a short text into the file, for whoever finds it held."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, text.encode(), 0)

    def release(self) -> None:
        """Remove the file, and let go; twice is as good as once."""
        if self.descriptor < 0:
            return
        try:
            self.path.unlink(missing_ok=True)
        finally:  # a file that stays is a file that nobody holds
            os.close(self.descriptor)
            self.descriptor = -1


def is_held(path: Path) -> bool:
    """Tell whether somebody holds a lock file, as far as this user may know. It stays as it is."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove_if_free(path: Path) -> bool:
    """Remove the lock file of a holder that has ended. Tell whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return True
    except PermissionError:
        return False  # another user's: only what may be opened can be judged
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(path, descriptor):
            path.unlink()
    except (BlockingIOError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
