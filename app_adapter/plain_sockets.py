"""Sockets that are Python's own, and waiting for them, in a process whose app may have replaced `socket` and `select`.

eventlet and gevent replace classes and functions of these modules. A socket of ours stays what it was. A wait uses what
the app has put there, so that its green threads run meanwhile.
"""

import select
from os import read as _read  # taken before an app can replace it, as the next one
from socket import socket as Socket


def plain_socket(descriptor: int) -> Socket:
    """Return a blocking socket with this descriptor, whatever the app has set as the default timeout."""
    sock = Socket(fileno=descriptor)
    sock.settimeout(None)
    return sock


def accepted(listener: Socket) -> Socket:
    """Accept a connection. `socket.accept` would make a socket of the class that the app has put there."""
    descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # typeshed has only the public part of `socket`
    sock = Socket(listener.family, listener.type, listener.proto, descriptor)  # without these, it asks the kernel
    sock.settimeout(None)
    return sock


def arrived(sock: Socket, size: int) -> bytes | None:
    """Return at most `size` bytes that have arrived at a socket with a timeout, b"" at the end of the stream, and None
    if there are none yet. `sock.recv` would wait for them, whatever its flags."""
    try:
        return _read(sock.fileno(), size)
    except BlockingIOError:
        return None


def readable(seconds: float | None, *sockets: Socket) -> list[Socket]:
    """Wait at most `seconds` until a socket can be read or has ended; return those that can be read or have ended."""
    if not hasattr(select, "poll"):  # eventlet removes it
        return select.select(sockets, (), (), seconds)[0]
    waiting = select.poll()
    for sock in sockets:
        waiting.register(sock, select.POLLIN)
    ready = {descriptor for descriptor, _ in waiting.poll(None if seconds is None else max(seconds, 0) * 1000)}
    return [sock for sock in sockets if sock.fileno() in ready]


def has_hung_up(sock: Socket) -> bool:
    """Return True if the other side has closed both directions of the connection."""
    waiting = _poll()
    waiting.register(sock, 0)
    return bool(waiting.poll(0))


_poll = select.poll  # it does not wait here
