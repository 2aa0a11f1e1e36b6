"""Connect to a FastCGI server, within a time limit of its own. Nothing is sent."""

import asyncio
import socket

from bridge.config.foreign_pool import Address
from worker.slots.transport import Transport

CONNECT_WITHIN = 5.0
"""Seconds that a connection may take; on one machine it takes a millisecond. A server that needs longer counts as
unreachable."""


async def connect(address: Address, transport: Transport) -> None:
    """Connect a transport. Raise `OSError` if it fails: `BlockingIOError` if the server's backlog is full,
    `TimeoutError` after `CONNECT_WITHIN`."""
    loop = asyncio.get_running_loop()
    if address.path is not None:
        await loop.create_connection(lambda: transport, sock=_unix_socket(address.path))
        return
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            await loop.create_connection(lambda: transport, address.host, address.port)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {CONNECT_WITHIN:g} s") from error


def _unix_socket(path: str) -> socket.socket:
    """Return a connected socket. A Unix socket connects at once or not at all, but the event loops misread the EAGAIN
    of a full backlog as a connection in progress."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.connect(path)
    except BlockingIOError as error:
        sock.close()
        raise BlockingIOError("its backlog is full") from error
    except BaseException:
        sock.close()
        raise
    return sock
