"""The running `bridge-site` of a user, broker and namespace: there is one at most, and others find it.

A lock file proves that it runs, and its socket tells its status. The process id comes from the kernel, which knows who
answers at the socket, so a number that was reused harms nobody.
"""

import asyncio
import json
import os
import select
import signal
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bridge.config.values import Values
from bridge.errors import BridgeError, SettingsError
from bridge.local_database.lock_file import LockFile
from worker.control.control_directory import directories_of, directory_of, make_private, why_not_believed
from worker.control.control_socket import listening, site_key

ANSWER_SECONDS = 5.0
_MOST = 1 << 20
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid; see SO_PEERCRED in unix(7)


class AlreadyUp(BridgeError):
    """Another `bridge-site up` of this user runs for the same broker and namespace."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of a running site, in its control directory."""

    lock: Path
    socket: Path
    notices: Path

    @classmethod
    def of(cls, directory: Path, values: Values) -> Self:
        """Return the places for a broker and a namespace."""
        key = site_key(values)
        return cls(directory / f"{key}.site-lock", directory / f"{key}.site", directory / f"{key}.notices")


@asynccontextmanager
async def present(values: Values, status: Callable[[], dict[str, Any]]) -> AsyncIterator[Places]:
    """Be the running site of these settings while the block runs, and send the status to every client. Raise
    `AlreadyUp`, or `SettingsError` if the control directory cannot be used."""
    if (found := SiteProcess.found(values)) is not None:
        with found:
            raise AlreadyUp(f"bridge-site is up already: process {found.pid}")
    directory = directory_of(values)
    places = Places.of(directory, values)
    with _usable(directory):
        make_private(directory)
        lock = LockFile.acquire(places.lock)
    if lock is None:
        raise AlreadyUp(f"bridge-site is up already: {places.lock} is locked")

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(json.dumps(status()).encode())
            async with asyncio.timeout(ANSWER_SECONDS):
                await writer.drain()
        except (OSError, TimeoutError):
            writer.transport.abort()
        else:
            writer.close()

    try:
        with _usable(directory):
            server = await asyncio.start_unix_server(answer, sock=listening(places.socket))
        try:
            yield places
        finally:
            server.close()
            places.socket.unlink(missing_ok=True)
    finally:
        lock.release()


@contextmanager
def _usable(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(f"control_directory {directory}: expected one that this user can use: {error}") from error


class SiteProcess:
    """The process of a running site, held by a descriptor, which never means another process."""

    def __init__(self, pid: int, descriptor: int, status: dict[str, Any]) -> None:
        self.pid = pid
        self.status = status
        self._descriptor = descriptor

    @classmethod
    def found(cls, values: Values) -> "SiteProcess | None":
        """Return the running site of these settings; None if there is none."""
        for directory in directories_of(values):
            if why_not_believed(directory) is None:
                found = _ask(Places.of(directory, values).socket)
                if found is not None:
                    return found
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._descriptor)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal. It does nothing if the process has ended."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return

    def has_ended(self, within: float) -> bool:
        """Wait until the process has ended, at most so many seconds; return whether it has."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(within * 1000))


def _ask(path: Path) -> SiteProcess | None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_SECONDS)
        try:
            client.connect(str(path))
            # It runs while it answers, so the descriptor is that of the process which answers.
            pid, user, _ = _CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if user != path.parent.lstat().st_uid:
                return None
            descriptor = os.pidfd_open(pid)
        except (ConnectionError, FileNotFoundError, ProcessLookupError):
            return None
        answer = bytearray()
        try:
            while len(answer) <= _MOST and (chunk := client.recv(1 << 16)):
                answer += chunk
            status = json.loads(answer)
        except (OSError, ValueError) as error:
            status = {"trouble": f"it does not answer: {error}", "processes": []}
    return SiteProcess(pid, descriptor, status)
