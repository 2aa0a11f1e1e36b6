"""What the processes of a site tell it: the messages of `sd_notify(3)`, on one socket for all of them.

The kernel names the process that sent a message, so no process can speak for another.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bridge.local_database.private_files import PRIVATE, set_mode

_MOST = 4096
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid; see unix(7)
_ROOM = socket.CMSG_SPACE(_CREDENTIALS.size)


@contextmanager
def listening(path: Path, tell: Callable[[int, Mapping[str, str]], None]) -> Iterator[None]:
    """Call `tell` with the process id and the fields of each message that comes to the socket at `path`, while the
    block runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        path.unlink(missing_ok=True)
        bound.bind(str(path))
        set_mode(path, PRIVATE)
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        loop = asyncio.get_running_loop()
        loop.add_reader(bound, _receive, bound, tell)
        try:
            yield
        finally:
            loop.remove_reader(bound)
            path.unlink(missing_ok=True)


def _receive(bound: socket.socket, tell: Callable[[int, Mapping[str, str]], None]) -> None:
    with contextlib.suppress(BlockingIOError):
        data, ancillary, _, _ = bound.recvmsg(_MOST, _ROOM)
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid, user, _ = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])
                if user in (os.geteuid(), 0):
                    tell(pid, fields_of(data))


def fields_of(data: bytes) -> Mapping[str, str]:
    """Return the fields of a message: lines of the form NAME=value."""
    lines = data.decode(errors="backslashreplace").split("\n")
    return {name: value for name, equals, value in (line.partition("=") for line in lines) if equals}
