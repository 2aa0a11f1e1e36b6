"""The child's end of its start tokens: it begins a request only with the token that names the request.

The worker takes tokens back, so a request may have none any more, also while the child waits for the next one.
"""

import socket
from collections.abc import Callable
from contextlib import suppress

from bridge.child_protocol import TOKEN_SIZE, output_mark, read_token

Wait = Callable[[socket.socket], object]
"""Waits until the socket can be read or has ended."""


class StartTokens:
    """Takes tokens from a socket. `write` writes to the child's output."""

    def __init__(self, sock: socket.socket, write: Callable[[bytes], object]) -> None:
        self._socket = sock
        self._write = write
        self._next: int | None = None

    def permit(self, request_id: int, wait: Wait) -> bool:
        """Return whether the request with this id may begin. If not, its token was taken back, and it will never have
        one. Wait for a token if there is none. Raise `EOFError` at the end of the tokens."""
        while self._next is None:
            self._take(wait)
        if self._next != request_id:
            return False
        self._next = None
        return True

    def end(self) -> None:
        """Let no further token come. Those that have come stay."""
        with suppress(OSError):  # the worker has gone
            self._socket.shutdown(socket.SHUT_RD)

    def _take(self, wait: Wait) -> None:
        try:
            data = self._socket.recv(TOKEN_SIZE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            wait(self._socket)
            return
        if not data:
            raise EOFError
        self._next, marked = read_token(data)
        if marked:
            self._write(output_mark(self._next))
