"""The control socket: whoever connects is told the worker's status, in one JSON object, and nothing can be asked.

Each worker has a socket of its own, for its user alone: mode 0600, in a directory of mode 0700. Its name has the
worker's process id, and what stands for its broker URL and namespace.
"""

import asyncio
import hashlib
import json
import os
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bridge.telemetry import log

SUFFIX = ".sock"
ANSWER_WITHIN = 2.0
_CHUNK = 64 * 1024


def directory_of(named: str | None) -> Path:
    """Return the directory of the sockets: the one that the settings name, else one of this user's own."""
    if named is not None:
        return Path(named)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "bridge" if runtime else Path(f"/tmp/bridge-{os.getuid()}")


def socket_path(directory: Path, broker_url: str, namespace: str, pid: int) -> Path:
    """Return where a worker's socket is."""
    return directory / f"{_site(broker_url, namespace)}-{pid}{SUFFIX}"


def sockets_of(directory: Path, broker_url: str, namespace: str) -> list[Path]:
    """Return the sockets of those who work for this broker and namespace."""
    return sorted(directory.glob(f"{_site(broker_url, namespace)}-*{SUFFIX}"))


class ControlSocket:
    """Tells the status to whoever connects, while it is entered. Where it cannot be had, the log says so, and the
    worker works without."""

    def __init__(self, path: Path, status: Callable[[], Mapping[str, Any]]) -> None:
        self._path = path
        self._status = status
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> None:
        try:
            _make_private(self._path.parent)
            _sweep(self._path.parent)
            self._server = await asyncio.start_unix_server(self._answer, self._path)
            self._path.chmod(0o600)
        except OSError as error:
            log.warning("bridge-status will not find this worker: %s", error, extra={"control_socket": str(self._path)})

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                writer.write(json.dumps(self._status()).encode())
                await writer.drain()
        except (OSError, TimeoutError):
            writer.transport.abort()  # whoever asked has gone, or does not listen
        else:
            writer.close()


def ask(path: Path) -> dict[str, Any] | None:
    """Return the status of the worker behind a socket; None where there is none any more. Raise `TimeoutError` where
    it does not answer in time."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(ANSWER_WITHIN)
        try:
            asking.connect(str(path))
            said = b"".join(iter(lambda: asking.recv(_CHUNK), b""))
        except (ConnectionError, FileNotFoundError):
            return None
    status: dict[str, Any] | None = json.loads(said) if said else None
    return status


def _site(broker_url: str, namespace: str) -> str:
    return hashlib.sha256(f"{broker_url}\n{namespace}".encode()).hexdigest()[:12]


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{directory}: expected a directory of this user's own, of mode 0700")


def _sweep(directory: Path) -> None:
    """Remove the sockets of workers that were killed."""
    for path in directory.glob(f"*{SUFFIX}"):
        pid = path.stem.rpartition("-")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            path.unlink(missing_ok=True)
