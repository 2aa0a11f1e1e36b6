"""The listening socket of a pool behind web servers: bind it, open it, and remove it.

The socket is bound before the children boot, so that a wrong address stops the program at once. It listens only when
the children are warm: until then a client's connection is refused, and the client knows that no request was taken.
"""

import os
import re
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bridge.config.foreign_pool import Address
from bridge.config.notation import group_id
from bridge.errors import SettingsError
from bridge.local_database.private_files import set_mode
from bridge.networks import is_loopback

BACKLOG = 511
"""Connections that may wait for a child, the same as in nginx and PHP-FPM; the system may allow fewer."""
OWNER_ONLY = 0o600
OWNER_AND_GROUP = 0o660


@dataclass(frozen=True, slots=True)
class Access:
    """The users that may connect to a Unix socket. `group` is a group id; None keeps the group of this process."""

    mode: int = OWNER_ONLY
    group: int | None = None

    @classmethod
    def parsed(cls, mode: str | None, group: str | None) -> Self:
        """Parse a mode such as '0660', and the name or id of a group. Raise `SettingsError` for anything else."""
        if mode is not None and not re.fullmatch("0?[0-7]{3}", mode):
            raise SettingsError(f"--socket-mode {mode!r}: expected an octal mode such as 0660")
        try:
            number = None if group is None else group_id(group)
        except ValueError as error:
            raise SettingsError(f"--socket-group {group!r}: {error}") from None
        usual = OWNER_ONLY if number is None else OWNER_AND_GROUP
        return cls(usual if mode is None else int(mode, 8), number)


class ListeningSocket:
    """A bound socket, `socket`, which listens once it is opened."""

    def __init__(self, address: Address, bound: socket.socket) -> None:
        self.socket = bound
        self._address = address
        self._file = None if address.path is None else _identity(Path(address.path))

    @classmethod
    def bound(cls, address: Address, access: Access, *, secret: bool = False) -> Self:
        """Bind a socket. Raise `SettingsError` if the address cannot be bound, and if other machines can reach it
        although replays need no secret."""
        try:
            if address.path is not None:
                return cls(address, _bound_to_path(Path(address.path), access))
            return cls(address, _bound_to_port(address, secret=secret))
        except OSError as error:
            raise SettingsError(f"--bind {address}: expected an address to listen on: {error}") from error

    def open(self) -> None:
        """Let clients connect. Raise `SettingsError` if another program has replaced the socket file meanwhile."""
        if self._address.path is not None and _identity(Path(self._address.path)) != self._file:
            raise SettingsError(f"--bind {self._address}: another program has taken its place")
        self.socket.setblocking(False)
        self.socket.listen(BACKLOG)

    def close(self) -> None:
        """Take no more connections, in any process that has the socket, and remove its file. A second call changes
        nothing."""
        if self.socket.fileno() < 0:
            return
        if self._address.path is not None and _identity(Path(self._address.path)) == self._file:
            Path(self._address.path).unlink()
        with suppress(OSError):  # the socket never listened
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
        # No client can connect before the socket listens, so these changes come in time.
        if access.group is not None:
            _give_to(path, access.group)
        set_mode(path, access.mode)
    except BaseException:
        sock.close()
        path.unlink()
        raise
    return sock


def _make_directory(directory: Path, group: int | None) -> None:
    """Create the directory if it is missing, for this user, and for the group if one is given."""
    if directory.is_dir():
        return
    directory.mkdir(mode=0o700)
    if group is not None:
        _give_to(directory, group)
        set_mode(directory, 0o750)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a program that was killed. Raise `OSError` for anything else in its place."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError("a file that is no socket is in its place")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # its backlog is full, so a program listens
    raise FileExistsError("a program listens there already")


def _give_to(path: Path, group: int) -> None:
    try:
        os.chown(path, -1, group, follow_symlinks=False)
    except PermissionError as error:
        raise SettingsError(
            f"--socket-group {group}: expected a group that this user is in, to give it {path}"
        ) from error


def _bound_to_port(address: Address, *, secret: bool) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    if not secret and not is_loopback(str(where[0])):
        raise SettingsError(
            f"--bind {address}: expected an address that only this machine reaches, such as 127.0.0.1, or a "
            "replay_secret in bridge.toml: otherwise every client that connects can run every listener"
        )
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
