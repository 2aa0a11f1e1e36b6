"""The response of a WSGI app (PEP 3333) as the body of a CGI reply. It writes through functions of the server and knows
no protocol below.

Each piece that the app yields is sent before the app is asked for the next one. The reply ends when the body has its
Content-Length, or when the app yields no more, and before the app's `close()` runs: work after the last piece holds up
no client.
"""

import re
from collections.abc import Callable, Iterable, Sized
from typing import Any, NamedTuple, Protocol
from wsgiref.types import WSGIApplication, WSGIEnvironment

_STATUS = re.compile(r"[1-9][0-9]{2} .*|[1-9][0-9]{2}")
_LINE_ENDS = re.compile(r"[\r\n\0]")

UNHANDLED = b"""\
Status: 500 Internal Server Error\r
Content-Type: text/html; charset=utf-8\r
\r
<!doctype html>
<title>500 Internal Server Error</title>
<h1>Internal Server Error</h1>
<p>The application raised an exception.</p>
"""
"""The reply to a request whose app raised before its first byte. The exception is in the log."""


class ClientGone(Exception):
    """The client has left, so the rest of the response is not wanted."""


class Client(Protocol):
    """The receiver of a response."""

    @property
    def gone(self) -> bool:
        """True if the client is known to have left."""

    def has_left(self) -> bool:
        """Look whether the client has left."""

    def send(self, data: bytes, *, more: bool) -> None:
        """Send a part of the reply. With `more`, another part follows at once, and both may be sent together."""

    def end(self) -> None:
        """End the reply. Nothing may follow."""


class Head(NamedTuple):
    """The head of a reply without the empty line at its end, and its Content-Length, None without one."""

    data: bytes
    length: int | None


def head_of(status: str, headers: list[tuple[str, str]]) -> Head:
    """Return the head of a reply. Raise `ValueError` for a status without three digits, and for a line end in a
    header."""
    if _STATUS.fullmatch(status) is None:
        raise ValueError(f"status {status!r:.100}: expected three digits, a space and a reason")
    length = None
    lines = [f"Status: {status}"]
    for name, value in headers:
        lines.append(f"{name}: {value}")
        if name.lower() == "content-length" and value.isascii() and value.isdecimal():
            length = int(value)
    if _LINE_ENDS.search("".join(lines)):
        _refuse_line_ends(headers)
    return Head("\r\n".join(lines).encode("latin-1") + b"\r\n", length)


class Heads:
    """Makes heads, and keeps the last one: most replays have the same. It is kept only if its headers are plain: others
    can be equal and have another text, or change."""

    def __init__(self) -> None:
        self._made_of: tuple[str, list[tuple[str, str]]] | None = None
        self._last = Head(b"", None)

    def head_of(self, status: str, headers: list[tuple[str, str]]) -> Head:
        """Return what `head_of` returns, and raise what it raises."""
        if (status, headers) == self._made_of:
            return self._last
        are_plain = type(headers) is list and all(
            type(pair) is tuple and {*map(type, pair)} == {str} for pair in headers
        )
        head = head_of(status, headers)
        if are_plain:
            self._made_of, self._last = (status, headers.copy()), head
        return head


class WsgiResponse:
    """One response. `begun` is True after the first byte, `ended` after the last one."""

    def __init__(self, client: Client, head_of: Callable[[str, list[tuple[str, str]]], Head] = head_of) -> None:
        self._client = client
        self._head_of = head_of
        self._head: bytes | None = None
        self._left: int | None = None
        self._is_one_piece = False
        self.begun = False
        self.ended = False

    def run(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        """Call the app and send its response. Raise `ClientGone`, or what the app raises; `close()` of the app's body
        is called in any case."""
        body = app(environ, self._start)
        try:
            self._send_all(body)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def _send_all(self, body: Iterable[bytes]) -> None:
        # Asked before the first piece: the length of a body that is its own iterator is that of the rest.
        self._is_one_piece = self._left is None and isinstance(body, Sized) and len(body) == 1
        for piece in body:
            if piece:
                self._write(piece)
            elif self._client.has_left():
                raise ClientGone
        if not self.ended:
            if not self.begun:
                self._write(b"")
            self._end()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        if exc_info is not None:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # a traceback that is kept here would keep this frame
        elif self._head is not None:
            raise RuntimeError("start_response() was called a second time without exc_info")
        self._head, self._left = self._head_of(status, headers)
        return self._write

    def _write(self, piece: bytes) -> None:
        """Send a piece of the body, the first one together with the head. Cut what exceeds the Content-Length."""
        if self.ended:
            return
        if self._head is None:
            raise RuntimeError("the body began before start_response() was called")
        if not self.begun and self._left is None and piece and self._is_one_piece:
            self._left = len(piece)
            self._head += b"Content-Length: %d\r\n" % self._left
        data = piece if self._left is None else piece[: max(self._left, 0)]
        if self._left is not None:
            self._left -= len(data)
        whole = self._left == 0 and bool(piece)
        if self._client.gone:
            raise ClientGone
        self._client.send(data if self.begun else self._head + b"\r\n" + data, more=whole)
        self.begun = True
        if whole:
            self._end()
        if self._client.gone:
            raise ClientGone

    def _end(self) -> None:
        self.ended = True
        self._client.end()


def _refuse_line_ends(headers: Iterable[tuple[str, str]]) -> None:
    for name, value in headers:
        if _LINE_ENDS.search(name + value):
            raise ValueError(f"header {name!r:.100}: expected a value of one line, got {value!r:.100}")
