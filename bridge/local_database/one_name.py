"""The one name of a database file. Locks, leases, wake-ups and keys are made from the name of the file, so two names of
one file would be two brokers: two workers would run one event, and two relays would publish it.

A name that leads through symbolic links is resolved. SQLite keeps the journal of a file next to each of its names, so a
file that has other names which cannot be resolved, such as hard links, is refused.
"""

import os
import shlex
import stat
from pathlib import Path

from bridge.errors import BrokerRefused, BrokerUnavailable

_MOUNTS = Path("/proc/self/mountinfo")


def one_name(path: Path) -> Path:
    """Return the absolute path of the file without symbolic links, whether the file exists or not."""
    return Path(os.path.realpath(path))


def check_one_name(path: Path) -> None:
    """Raise `BrokerRefused`, whose message names the file, if it has another name than this path. The file may be
    missing. Raise `BrokerUnavailable` if this user may not look there."""
    file = f"SQLite database {path}"
    if one_name(path) != path:
        now = f"it leads to {one_name(path)} now, because a link has replaced a part of the path"
        raise BrokerRefused(f"{file}: {now}: start this program again")
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise BrokerUnavailable(f"{file}: {error.strerror}") from error
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        find = shlex.join(["find", "/", "-xdev", "-samefile", str(path)])
        many = f"it has {found.st_nlink} names (hard links), and SQLite would use a journal for each name"
        raise BrokerRefused(f"{file}: {many}: remove the others ({find})")
    if _is_mounted(path):
        mounted = "this file alone is mounted here, and SQLite would use a journal for each of its names"
        raise BrokerRefused(f"{file}: {mounted}: mount its directory instead")


def _is_mounted(path: Path) -> bool:
    """Return True if the file itself is a mount point, as with `docker run -v FILE:FILE`."""
    try:
        mounts = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return False  # not Linux, or no /proc
    escaped = os.fsencode(path).replace(b"\\", rb"\134").replace(b" ", rb"\040")
    wanted = escaped.replace(b"\t", rb"\011").replace(b"\n", rb"\012")
    return any(mount.split(b" ")[4:5] == [wanted] for mount in mounts)
