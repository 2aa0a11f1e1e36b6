"""The body of a request, as the app reads it: FastCGI's STDIN, which has an end of its own, so that a body of unknown
length (`Transfer-Encoding: chunked`) can be read too.

A body that its client broke off never looks whole: reading it raises `BodyBrokenOff`.
"""

import io
from collections import deque
from collections.abc import Callable

from werkzeug.exceptions import ClientDisconnected


class BodyBrokenOff(ClientDisconnected, ConnectionError):
    """The body ended before its end. Flask answers 400 if the app does not catch it."""


class RequestBody(io.RawIOBase):
    """The pieces of one body. `wait` waits until a further record of the connection was taken, and raises `EOFError` if
    none will come."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self._wait = wait
        self._pieces: deque[memoryview] = deque()
        self._left: int | None = None
        self._ended = False
        self._broken: str | None = None

    def expect(self, content_length: str | None) -> int | None:
        """Set and return the length of the body. Without a number, return None: the body ends with its stream."""
        self._left = stated_length(content_length)
        return self._left

    def add_data(self, data: bytes) -> None:
        """Take the content of a STDIN record; an empty one is the end of the stream."""
        if data:
            self._pieces.append(memoryview(data))
        else:
            self._ended = True

    def break_off(self, why: str) -> None:
        """Let each further read raise `BodyBrokenOff`, unless the body is whole."""
        self._broken = why

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer has no len
        """Wait for a piece of the body and copy it. Return 0 at the end of the body."""
        while self._left != 0 and not self._pieces:
            if self._ended and self._left is None:
                return 0
            if self._ended:
                self._broken = f"the body ended {self._left} bytes before its Content-Length"
            if self._broken is not None:
                raise BodyBrokenOff(self._broken)
            try:
                self._wait()
            except EOFError:
                self._broken = "the client left before the end of the body, or sent too little of it in time"
        if self._left == 0:
            return 0
        piece = self._pieces[0]
        count = min(len(buffer), len(piece), len(piece) if self._left is None else self._left)
        buffer[:count] = piece[:count]
        self._pieces[0] = piece[count:]
        if count == len(piece):
            self._pieces.popleft()
        if self._left is not None:
            self._left -= count
        return count


def stated_length(content_length: str | None) -> int | None:
    """Return the length that a CONTENT_LENGTH states; None if it is no number."""
    if content_length is not None and content_length.isascii() and content_length.isdecimal():
        return int(content_length)
    return None
