"""Looks at files where this user may not be allowed to look.

`Path.is_file()` and `Path.exists()` raise `PermissionError` below a directory that this user may not enter, and return
False there since Python 3.14. These functions are the same on every version.
"""

import stat
from pathlib import Path

from bridge.errors import SettingsError


def is_file(path: Path) -> bool:
    """Return True if there is a file at this path, False if there is none. Raise `OSError` if this user may not look
    there."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_seen_file(path: Path) -> bool:
    """Return True if there is a file at this path that this user may see."""
    try:
        return is_file(path)
    except OSError:  # for this user there is none
        return False


def is_missing(path: Path) -> bool:
    """Return True if there is nothing at this path. What this user may not look at is not missing: its use tells why it
    cannot be used."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # it may be there
        return False
    return False


def working_directory() -> Path:
    """Return the working directory. Raise `SettingsError` if it was deleted."""
    try:
        return Path.cwd()
    except OSError as error:
        raise SettingsError(f"the working directory: expected one that exists: {error.strerror}") from error
