"""What the file system says of a database's file and of the processes that use it. It opens no database."""

import os
import shutil
from pathlib import Path

from bridge.brokers.sqlite.bells import MARK
from bridge.brokers.sqlite.lock_file import is_held
from bridge.findings import Finding, ok, wrong

LEAST_FREE = 100 * 1024 * 1024
"""Bytes. The journal alone is kept at 64 MiB."""

_REMOTE = {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "nfs", "nfs4", "smb3", "smbfs"}


def place(path: Path) -> list[Finding]:
    """Judge where the file is: it is there, it and its directory can be written, and locks work."""
    findings = []
    for what, needs in ((path, os.R_OK | os.W_OK), (path.parent, os.R_OK | os.W_OK | os.X_OK)):
        if not os.access(what, needs):
            step = f"chown {os.getuid()}:{os.getgid()} {what}, or run the programs as the user that it belongs to"
            findings.append(wrong("permissions", f"{what} cannot be read and written by user {os.getuid()}", step))
    free = shutil.disk_usage(path.parent).free
    if free < LEAST_FREE:
        findings.append(wrong("disk", f"{free // 1024**2} MiB are free at {path.parent}", "make room: df -h, du -x"))
    kind = _file_system(path)
    if kind in _REMOTE:
        sentence = f"{path} is on {kind}, where neither SQLite's journal nor the workers' locks can be relied on"
        findings.append(wrong("file system", sentence, "move it to a local disk, or use RabbitMQ for several machines"))
    return findings or [ok("permissions", f"the file and its directory can be written; {free // 1024**3} GiB are free")]


def consumers(path: Path) -> list[str]:
    """Return the consumers that live, by process id where it can be seen: other containers' have none here."""
    pids = _flocks()
    mine = [entry for entry in os.scandir(path.parent) if entry.name.startswith(path.name + MARK)]
    return [str(pids.get(entry.inode(), "of another container")) for entry in mine if is_held(Path(entry.path))]


def _flocks() -> dict[int, int]:
    """Return who holds which file by `flock`, by inode. Lines are as `1: FLOCK ADVISORY WRITE 512 08:01:1234 0 EOF`."""
    lines = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return {int(words[5].rpartition(":")[2]): int(words[4]) for words in lines if words[1] == "FLOCK"}


def _file_system(path: Path) -> str:
    """Return the kind of the file system that the path is on."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [(len(where), kind) for _, where, kind, *_ in mounts if path.is_relative_to(where.replace("\\040", " "))]
    return max(above)[1] if above else "?"
