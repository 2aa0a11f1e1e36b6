"""The control sockets: each worker or pool sends its status, as JSON, to every client that connects, and reads nothing.

Each process has its own socket, for its user alone: mode 0600, in a directory of mode 0700. The file's name has a hash
of the broker and the namespace, and the process id. A reader believes a socket only if the process behind it runs as
the owner of the directory, and reads a limited number of bytes for a limited time.
"""

import asyncio
import hashlib
import json
import os
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bridge.config.broker_key import broker_key
from bridge.config.values import Values
from bridge.local_database.private_files import PRIVATE, set_mode
from bridge.logger import log
from bridge.looking import is_missing
from bridge.status import (
    MAX_STATUS,
    PoolStatus,
    Status,
    StatusError,
    UnreadableStatus,
    WorkerStatus,
    from_json,
    to_json,
)
from worker.control.control_directory import directories_of, directory_of, make_private, why_not_believed

SUFFIX = ".sock"
ANSWER_WITHIN = 2.0
_CHUNK = 64 * 1024
_AT_ONCE = 8
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid; see SO_PEERCRED in unix(7)


def control_path(values: Values) -> Path:
    """Return a path for this process's socket. With a directory of 80 characters it has the most that a path of a
    socket may have, 107."""
    # The random part tells processes of two containers apart that share the directory and have the same id.
    return directory_of(values) / f"{site_key(values)}-{secrets.token_hex(2)}-{os.getpid()}{SUFFIX}"


def statuses_of(values: Values) -> list[Status]:
    """Ask the workers and pools of this user for the broker and namespace of these settings."""
    return _answers(directories_of(values), f"{site_key(values)}-*{SUFFIX}")


def count_of_others(values: Values) -> int:
    """Return the number of workers and pools of this user that run with another broker or namespace."""
    others = (
        path
        for directory in directories_of(values)
        if why_not_believed(directory) is None
        for path in directory.glob(f"*{SUFFIX}")
        if not path.name.startswith(f"{site_key(values)}-")
    )
    return sum(_listens(path) for path in others)


def workers_of(values: Values) -> list[WorkerStatus | UnreadableStatus]:
    """Ask the workers of this user for the broker and namespace of these settings."""
    return [status for status in statuses_of(values) if isinstance(status, WorkerStatus | UnreadableStatus)]


class ControlSocket:
    """Sends the status to every client, while it is entered. If the socket cannot be made, the process logs a warning
    and works without it."""

    def __init__(self, path: Path, status: Callable[[], WorkerStatus | PoolStatus]) -> None:
        self._path = path
        self._status = status
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> None:
        try:
            make_private(self._path.parent)
            _sweep(self._path.parent)
            self._server = await asyncio.start_unix_server(self._answer, sock=listening(self._path))
        except OSError as error:
            log.warning("bridge-status will not find this worker: %s", error, extra={"control_socket": str(self._path)})

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                writer.write(json.dumps(to_json(self._status())).encode())
                await writer.drain()
        except (OSError, TimeoutError):
            writer.transport.abort()  # the client has gone, or does not read
        else:
            writer.close()


def ask(path: Path) -> Status | None:
    """Return the status of the process that a socket belongs to; None if the process has ended."""
    try:
        answer = _read(path, time.monotonic() + ANSWER_WITHIN)
        return from_json(answer) if answer else None
    except (ConnectionError, FileNotFoundError):
        return None
    except TimeoutError:
        trouble = "it does not answer"
    except (StatusError, OSError) as error:
        trouble = str(error)
    pid = path.stem.rpartition("-")[2]
    return UnreadableStatus(pid=int(pid) if pid.isdecimal() else 0, trouble=trouble)


def _answers(directories: Iterable[Path], pattern: str) -> list[Status]:
    found: list[Status] = []
    for directory in directories:
        if is_missing(directory):
            continue
        if (why := why_not_believed(directory)) is not None:
            found.append(UnreadableStatus(pid=0, trouble=f"the sockets in {directory} are not believed: {why}"))
            continue
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found += filter(None, pool.map(ask, sorted(directory.glob(pattern))))
    return found


def _read(path: Path, until: float) -> bytes:
    """Read until the end of the stream, or until the answer is longer than any status. Raise `StatusError` if another
    user answers."""
    answer = bytearray()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_left(until))
        client.connect(str(path))
        _, user, _ = _CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if user != path.parent.lstat().st_uid:
            raise StatusError(f"user {user} answers at its control socket, and is not believed")
        while len(answer) <= MAX_STATUS and (chunk := client.recv(_CHUNK)):
            answer += chunk
            client.settimeout(_left(until))
    return bytes(answer)


def _left(until: float) -> float:
    """Return the seconds until this moment. Raise `TimeoutError` if there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def site_key(values: Values) -> str:
    """Return the part of a socket's name that stands for the broker and the namespace."""
    return hashlib.sha256(f"{broker_key(values.broker_url)}\n{values.namespace}".encode()).hexdigest()[:8]


def listening(path: Path) -> socket.socket:
    """Return a socket that listens at this path. It appears there complete: with its mode, and listening."""
    made = path.with_name(f".{secrets.token_hex(4)}")
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(made))
        set_mode(made, PRIVATE)
        listening.listen()
        made.rename(path)
    except BaseException:
        listening.close()
        made.unlink(missing_ok=True)
        raise
    listening.setblocking(False)
    return listening


def _sweep(directory: Path) -> None:
    """Remove the sockets of processes that were killed: nobody listens there."""
    for path in directory.glob(f"*{SUFFIX}"):
        if not _listens(path):
            path.unlink(missing_ok=True)


def _listens(path: Path) -> bool:
    """Return True if a process listens at this socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            pass  # its backlog is full
        return True
