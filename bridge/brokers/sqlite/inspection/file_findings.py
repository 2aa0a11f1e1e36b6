"""Judges a database's file, and finds the processes that use it, by the file system. Opens no database."""

import os
import pwd
import shlex
import shutil
from pathlib import Path

from bridge.brokers.contract.findings import Finding, ok, unknown, wrong
from bridge.console.quantities import size_text
from bridge.local_database.lock_file import holders, is_held
from bridge.local_database.private_files import FileAccess
from bridge.local_database.wakeups import CONSUMER_MARK

LEAST_FREE = 100 * 1024 * 1024
"""Bytes that should be free: the journal alone may keep 64 MiB."""

LARGE = 1024**3
WORTH_SHRINKING = 64 * 1024**2
"""Bytes. A file is too large from `LARGE` on, and from `WORTH_SHRINKING` on if most of it is free pages."""

_REMOTE = {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "nfs", "nfs4", "smb3", "smbfs"}


def refused(path: Path) -> list[Finding]:
    """Return the findings if this user may not read and write the file and its directory: then nothing else can be
    known. A file of another user is no fault, because the programs may run as that user. No finding for a missing
    file."""
    needed = {path: os.R_OK | os.W_OK, path.parent: os.R_OK | os.W_OK | os.X_OK}
    closed = [each for each, needs in needed.items() if not os.access(each, needs, effective_ids=True)]
    owner, reader = _owner(path), os.geteuid()
    if not closed or owner is None:
        return []
    if _is_read_only(path.parent):
        step = shlex.join(["findmnt", "--target", str(path.parent)]) + " and dmesg tell why; mount it for writing"
        return [wrong("file system", f"{path.parent} is mounted read-only", step)]
    if owner != reader:
        as_owner = shlex.join(["sudo", "-u", _name(owner), "bridge-doctor"])
        sentence = f"{path} belongs to user {_name(owner)}, and this is user {_name(reader)}, who may not use it"
        return [unknown("permissions", sentence, f"if the programs run as that user: {as_owner}")]
    return [
        wrong(
            "permissions",
            f"{each} cannot be read and written by user {_name(reader)}, to whom {path} belongs",
            shlex.join(["chmod", "u+rwX", str(each)]) if _owner(each) == reader else "a directory of this user's own",
        )
        for each in closed
    ]


def _is_read_only(directory: Path) -> bool:
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:  # this user may not look there
        return False


def place_findings(path: Path) -> list[Finding]:
    """Judge the place of the file, which this user may use: free space, and whether locks work."""
    findings = []
    free = shutil.disk_usage(path.parent).free
    if free < LEAST_FREE:
        findings.append(wrong("disk", f"{free // 1024**2} MiB are free at {path.parent}", "make room: df -h, du -x"))
    kind = _file_system(path)
    if kind in _REMOTE:
        sentence = f"{path} is on {kind}, on which SQLite's journal and the workers' locks are not reliable"
        findings.append(wrong("file system", sentence, "move it to a local disk, or use RabbitMQ for several machines"))
    return findings or [ok("permissions", f"the file and its directory can be written; {free // 1024**3} GiB are free")]


def size(path: Path, whole: int, free: int) -> list[Finding]:
    """Judge the size of the file, in bytes, and of its free pages, which SQLite keeps for later. Return no finding for
    a file of a usual size."""
    if whole < LARGE and (whole < WORTH_SHRINKING or free < whole / 2):
        return []
    sentence = f"{path} has grown to {size_text(whole)}, of which {size_text(free)} are free pages"
    shrink = f"stop the programs; sqlite3 {shlex.quote(str(path))} VACUUM, which needs as much disk again"
    step = (
        shrink if free >= whole / 2 else f"see what waits in it: bridge-dlq list, and the queues above; then {shrink}"
    )
    return [wrong("size", sentence, step)]


def consumers(path: Path) -> list[str]:
    """Return the process ids of the living consumers; a process of another container has none here."""
    pids, access = holders(), FileAccess.like(path)
    mine = [entry for entry in os.scandir(path.parent) if entry.name.startswith(path.name + CONSUMER_MARK)]
    return [str(pids.get(entry.inode(), "of another container")) for entry in mine if is_held(Path(entry.path), access)]


def _owner(path: Path) -> int | None:
    """Return the user to whom the file belongs; that of the directory above it that hides it. None without a file."""
    try:
        return path.stat().st_uid
    except PermissionError:
        return _owner(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _name(user: int) -> str:
    """Return the name of a user, as sudo takes it."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"


def _file_system(path: Path) -> str:
    """Return the type of the file system of this path."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [(len(where), kind) for _, where, kind, *_ in mounts if path.is_relative_to(where.replace("\\040", " "))]
    return max(above)[1] if above else "?"
