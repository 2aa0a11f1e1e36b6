"""The search for `bridge.toml`: in the working directory and in those above it, as git finds its repository."""

import logging
import os
import stat
from pathlib import Path

from bridge.errors import SettingsError
from bridge.looking import is_file, is_seen_file, working_directory

log = logging.getLogger("bridge")

FILE_NAME = "bridge.toml"
_EVERYBODY = 0o002


def settings_file(given: str | None) -> Path | None:
    """Return the settings file: the one that is `given`, else the nearest `bridge.toml` that this user sees; None if
    there is none. Raise `SettingsError` if a given file does not exist or cannot be looked at.

    In a directory in which everybody can make files, such as /tmp, a file of another user is not read: settings name
    code to import.
    """
    if given is not None:
        return _given(given)
    here = working_directory()
    for directory in (here, *here.parents):
        path = directory / FILE_NAME
        if is_seen_file(path) and _is_believed(path):
            return path
    return None


def _given(given: str) -> Path:
    path = Path(given) if Path(given).is_absolute() else working_directory() / given
    try:
        if is_file(path):
            return path
        found = "is a directory" if path.is_dir() else "does not exist"
    except OSError as error:
        found = f"cannot be looked at: {error.strerror}"
    raise SettingsError(f"config {given!r}: expected a file, but {path} {found}")


def _is_believed(path: Path) -> bool:
    if not stat.S_IMODE(path.parent.stat().st_mode) & _EVERYBODY or path.stat().st_uid in (os.geteuid(), 0):
        return True
    log.warning("%s belongs to another user, and everybody can make files there: it is not read; give --config", path)
    return False
