"""How a connection to a FastCGI server is made, within a time of its own. It sends nothing."""

import asyncio
import socket

from bridge.fastcgi import Limits
from bridge.foreign_pool import Address
from worker.transport import Transport

CONNECT_WITHIN = 5.0
"""Seconds until a server that does not even answer counts as away. On one machine it takes a millisecond."""


async def connect(address: Address) -> Transport:
    """Return a new connection. Raise `OSError` where none is to be had: a `BlockingIOError` where as many wait already
    as the server takes, a `TimeoutError` after `CONNECT_WITHIN`."""
    loop = asyncio.get_running_loop()
    if address.path is not None:
        _, transport = await loop.create_connection(_transport, sock=_unix_socket(address.path))
        return transport
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            _, transport = await loop.create_connection(_transport, address.host, address.port)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {CONNECT_WITHIN:g} s") from error
    return transport


def _transport() -> Transport:
    return Transport(Limits())


def _unix_socket(path: str) -> socket.socket:
    """Return a connected socket. A Unix socket connects at once or not at all, and the event loops take the answer of
    a full backlog (EAGAIN) for a connection that is on its way."""
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
