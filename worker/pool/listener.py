"""The listening socket of a pool that stands behind web servers: bound, opened, and taken away again.

It is bound at once, so that an address that cannot be had is known before anything boots, and it listens only when the
children are warm: until then whoever connects is refused, and knows that nothing was taken.
"""

import grp
import os
import re
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bridge.errors import SettingsError
from bridge.foreign_pool import Address

BACKLOG = 511
"""Connections that may wait for a child, as in nginx and PHP-FPM; the system may allow fewer."""
OWNER_ONLY = 0o600
OWNER_AND_GROUP = 0o660


@dataclass(frozen=True, slots=True)
class Access:
    """Who may connect to a Unix socket. `group` is its group's id; None leaves it as it comes."""

    mode: int = OWNER_ONLY
    group: int | None = None

    @classmethod
    def parsed(cls, mode: str | None, group: str | None) -> Self:
        """Return what a mode such as '0660' and a group's name or id mean. Raise `SettingsError` for anything else."""
        if mode is not None and not re.fullmatch("0?[0-7]{3}", mode):
            raise SettingsError(f"--socket-mode {mode!r}: expected an octal mode such as 0660")
        if group is None or group.isdecimal():
            number = None if group is None else int(group)
        else:
            try:
                number = grp.getgrnam(group).gr_gid
            except KeyError:
                raise SettingsError(f"--socket-group {group!r}: expected a group of this system") from None
        usual = OWNER_ONLY if number is None else OWNER_AND_GROUP
        return cls(usual if mode is None else int(mode, 8), number)


class Listener:
    """A bound socket, `socket`, which listens once it is opened."""

    def __init__(self, address: Address, bound: socket.socket) -> None:
        self.socket = bound
        self._address = address
        self._file = None if address.path is None else _identity(Path(address.path))

    @classmethod
    def bound(cls, address: Address, access: Access) -> Self:
        """Bind a socket. Raise `SettingsError` where that cannot be."""
        try:
            if address.path is not None:
                return cls(address, _bound_to_path(Path(address.path), access))
            return cls(address, _bound_to_port(address.host, address.port))
        except OSError as error:
            raise SettingsError(f"--bind {address}: expected an address to listen on: {error}") from error

    def open(self) -> None:
        """Let clients connect. Raise `SettingsError` where somebody else has taken the address meanwhile."""
        if self._address.path is not None and _identity(Path(self._address.path)) != self._file:
            raise SettingsError(f"--bind {self._address}: another program has taken its place")
        self.socket.setblocking(False)
        self.socket.listen(BACKLOG)

    def close(self) -> None:
        """Take no more connections, whoever else has the socket, and remove its file. Twice is no harm."""
        if self.socket.fileno() < 0:
            return
        if self._address.path is not None and _identity(Path(self._address.path)) == self._file:
            Path(self._address.path).unlink()
        with suppress(OSError):  # it never listened
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def _bound_to_path(path: Path, access: Access) -> socket.socket:
    _make_directory(path.parent, access.group)
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(str(path))
    except BaseException:
        sock.close()
        raise
    try:
        # Nobody can connect before it listens, so that it is never open to more than it should be.
        if access.group is not None:
            _give_to(path, access.group)
        path.chmod(access.mode)
    except BaseException:
        sock.close()
        path.unlink()
        raise
    return sock


def _make_directory(directory: Path, group: int | None) -> None:
    """Make it where there is none, for this user alone, or for the group besides."""
    if directory.is_dir():
        return
    directory.mkdir(mode=0o700)
    if group is not None:
        _give_to(directory, group)
        directory.chmod(0o750)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a program that was killed. Raise `OSError` for anything else in its place."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError("there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # its backlog is full, so somebody has one
    raise FileExistsError("somebody listens there already")


def _give_to(path: Path, group: int) -> None:
    try:
        os.chown(path, -1, group)
    except PermissionError as error:
        raise SettingsError(
            f"--socket-group {group}: expected a group that this user is in, to give it {path}"
        ) from error


def _bound_to_port(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
