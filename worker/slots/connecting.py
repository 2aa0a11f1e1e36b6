"""Connect to a FastCGI server, within a time limit of its own. Nothing is sent."""

import asyncio
import errno
import os
import socket
from typing import Any

from bridge.config.foreign_pool import Address

CONNECT_WITHIN = 5.0
"""Seconds that a connection may take; on one machine it takes a millisecond. A server that needs longer counts as
unreachable."""


async def connect(address: Address) -> socket.socket:
    """Return a connected socket that does not block. Raise `OSError` if it fails: `BlockingIOError` if the server's
    backlog is full, `TimeoutError` after `CONNECT_WITHIN`."""
    if address.path is not None:
        return connect_to_path(address.path)
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            return await _connect_to_host(address.host, address.port)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {CONNECT_WITHIN:g} s") from error


def connect_to_path(path: str) -> socket.socket:
    """Return a connected Unix socket, as `connect` does. A Unix socket connects at once or not at all, but the event
    loops misread the EAGAIN of a full backlog as a connection in progress."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.connect(path)
    except BlockingIOError as error:
        sock.close()
        raise BlockingIOError("its backlog is full") from error
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect_to_host(host: str, port: int) -> socket.socket:
    """Try the addresses of a host one after the other; raise the error of the first one, which the system prefers."""
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            return await _connect_to(socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol), address)
        except OSError as error:
            number = error.errno or errno.EIO
            failure = failure or OSError(number, os.strerror(number))  # the loop's text names the address once more
    raise failure or OSError(f"no address of {host}")


async def _connect_to(sock: socket.socket, address: Any) -> socket.socket:
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock
