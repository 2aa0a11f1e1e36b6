"""The directories of the control sockets: one that the settings name, or this user's own. Each can be used by its owner
alone, so that no other user can put a socket into it. A process makes its files only in a directory of its own user.
"""

import os
import stat
import tempfile
from pathlib import Path

from bridge.config.values import Values
from bridge.local_database.private_files import make_private_folder
from bridge.looking import is_missing

_RUN = Path("/run/user")
_TEMPORARY = Path("/tmp")


def directory_of(values: Values) -> Path:
    """Return the directory for this process's socket. It may be missing, unless no place is known for it: then a new
    directory with a random name is made in /tmp, which others find by its owner."""
    for each in directories_of(values):
        return each
    return Path(tempfile.mkdtemp(prefix=_prefix(), dir=_TEMPORARY))


def directories_of(values: Values) -> list[Path]:
    """Return all directories in which sockets of this user may be, the preferred one first."""
    if values.control_directory is not None:
        return [Path(values.control_directory)]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    named = [Path(runtime) / "bridge"] if runtime and _may_use(Path(runtime)) else []
    own = _RUN / str(os.geteuid())
    of_session = [own / "bridge"] if why_not_private(own) is None else []
    temporary = [each for each in sorted(_TEMPORARY.glob(f"{_prefix()}*")) if why_not_private(each) is None]
    return list(dict.fromkeys([*named, *of_session, *temporary]))


def make_private(directory: Path) -> None:
    """Create the directory if it is missing. Raise `PermissionError` if it belongs to another user or others can use
    it."""
    make_private_folder(directory)
    if (why := why_not_private(directory)) is not None:
        raise PermissionError(f"{directory}: {why}")


def why_not_believed(directory: Path) -> str | None:
    """Return why the sockets in a directory that the settings name are not believed; None if only its owner can put one
    into it, and its owner is this user. Root believes the directory of any user."""
    return _why_not(directory, of_any_user=os.geteuid() == 0)


def why_not_private(directory: Path) -> str | None:
    """Return why this user makes no files in this directory, and does not take it for its own without being told to;
    None if this user alone can use it."""
    return _why_not(directory, of_any_user=False)


def _why_not(directory: Path, *, of_any_user: bool) -> str | None:
    try:
        found = directory.lstat()
    except OSError as error:
        return str(error.strerror)
    if not stat.S_ISDIR(found.st_mode):
        return "expected a directory"
    if found.st_uid != os.geteuid() and not of_any_user:
        return f"expected a directory of this user's own; it belongs to user {found.st_uid}"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"expected a directory of mode 0700; it has {stat.S_IMODE(found.st_mode):04o}"
    return None


def _may_use(directory: Path) -> bool:
    """Return False for a directory of another user, such as the XDG_RUNTIME_DIR that `su` leaves, and for one in which
    this user can make no files. A missing one may be made."""
    if is_missing(directory):
        return True
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return False
    return directory.stat().st_uid == os.geteuid()  # root has access to those of all users


def _prefix() -> str:
    return f"bridge-{os.geteuid()}-"
