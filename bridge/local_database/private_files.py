"""The owner, group and mode of the files that the bridge makes: for this user alone, or for the group of a site with
several users. They do not depend on the umask.

A file that somebody else made is not believed, and links are not followed: another user of the machine could hold a
lock with it, read what is written to it, or have another file changed.
"""

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bridge.errors import BrokerRefused

PRIVATE, SHARED = 0o600, 0o660
PRIVATE_FOLDER = 0o700
_OF_GROUP = 0o060


@dataclass(frozen=True, slots=True)
class FileAccess:
    """The user to whom files belong, and the group that may use them too (None: no group)."""

    owner: int = field(default_factory=os.geteuid)
    group: int | None = None

    @classmethod
    def like(cls, database: Path) -> Self:
        """Return the access of an existing file, for the files next to it. Without such a file, it is this user's."""
        try:
            found = database.lstat()
        except FileNotFoundError:
            return cls()
        return cls(found.st_uid, found.st_gid if found.st_mode & _OF_GROUP == _OF_GROUP else None)

    @property
    def mode(self) -> int:
        return PRIVATE if self.group is None else SHARED

    def trusts(self, found: os.stat_result) -> bool:
        """Return True if a file belongs to this user, to the owner, to root, or to the group."""
        return found.st_uid in (os.geteuid(), self.owner, 0) or found.st_gid == self.group

    def give(self, descriptor: int) -> None:
        """Set the owner, group and mode of an open file, if it belongs to this user."""
        found, mode = os.fstat(descriptor), self.mode
        if found.st_uid != os.geteuid():
            return
        owner = self.owner if os.geteuid() == 0 else found.st_uid
        group = found.st_gid if self.group is None else self.group
        if (owner, group) != (found.st_uid, found.st_gid):
            try:
                os.fchown(descriptor, owner, group)
            except PermissionError:
                mode = PRIVATE  # this user is not in the group, so the file has another group
        if stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(descriptor, mode)


def make_database_file(path: Path, group: int | None) -> None:
    """Create an empty file that only this user, or also this group, can use. An existing file of this user is given to
    the group. Raise `OSError`, or `BrokerRefused` for a file of somebody else.

    The file is never opened here: to close it would release the locks that SQLite holds on it in this process.
    """
    with suppress(FileExistsError):
        os.mknod(path, stat.S_IFREG | PRIVATE)
        set_mode(path, PRIVATE)  # the umask may have taken bits away
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise BrokerRefused(f"SQLite database {path}: it is a link, which is not followed")
    if os.geteuid() not in (found.st_uid, 0) and found.st_uid != 0 and (group is None or found.st_gid != group):
        raise BrokerRefused(
            f"SQLite database {path}: it belongs to user {found.st_uid} and this is user {os.geteuid()}: "
            "run all programs as one user, or set file_group to a group of both"
        )
    if group is not None and found.st_uid == os.geteuid():
        for part in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                _share(path.with_name(path.name + part), group)


def _share(path: Path, group: int) -> None:
    found = path.lstat()
    if found.st_gid != group:
        try:
            os.chown(path, -1, group, follow_symlinks=False)
        except PermissionError as error:
            raise BrokerRefused(f"{path}: file_group: expected a group that user {os.geteuid()} is in") from error
    if stat.S_ISREG(found.st_mode) and found.st_mode & SHARED != SHARED:
        set_mode(path, SHARED)


def make_private_folder(path: Path) -> None:
    """Create a directory and the missing ones above it, each for this user alone. Raise `OSError`."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):
            each.mkdir(PRIVATE_FOLDER)
            set_mode(each, PRIVATE_FOLDER)  # the umask may have taken bits away


def set_mode(path: Path, mode: int) -> None:
    """Give a file, socket or directory this mode. Raise `OSError` for a link, whose target keeps its mode."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)  # this opens no file: SQLite keeps its locks
    try:
        found = os.fstat(descriptor)
        if stat.S_ISLNK(found.st_mode):
            raise OSError(errno.ELOOP, "it is a link, which is not followed", str(path))
        if stat.S_IMODE(found.st_mode) != mode:
            Path(f"/proc/self/fd/{descriptor}").chmod(mode)  # fchmod refuses a descriptor of O_PATH
    finally:
        os.close(descriptor)
