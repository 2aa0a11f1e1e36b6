"""A FastCGI server that lies: it listens on a Unix socket, reads each request, and answers what a test tells it to.

It shares no code with `bridge.fastcgi`. `BREACHES` is the list of what a web server must not believe.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path

from tests.unit.fastcgi.application import (
    CANT_MPX_CONN,
    END,
    GET_VALUES_RESULT,
    OVERLOADED,
    STDERR,
    STDIN,
    STDOUT,
    UNKNOWN_ROLE,
    end,
    record,
)

HEAD = b"Status: 200 OK\r\nBridge-Outcome: delivered\r\nContent-Type: text/plain\r\n\r\n"
DELIVERED = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n") + b"done"


def truth(request_id: int = 1) -> bytes:
    """A good reply, with everything that a good reply may have."""
    said = record(STDERR, b"said", request_id=request_id)
    output = record(STDOUT, DELIVERED, request_id=request_id, padding=3) + record(STDOUT, request_id=request_id)
    return said + output + end(request_id=request_id, padding=7)


def _head(*lines: bytes) -> bytes:
    """A reply with the receiver's verdict, and a head that has these lines besides."""
    return record(STDOUT, b"\r\n".join([b"Bridge-Outcome: delivered", *lines, b"", b""])) + end()


BREACHES: dict[str, bytes] = {
    "another protocol": b"HTTP/1.1 200 OK\r\nBridge-Outcome: delivered\r\n\r\n",
    "zeros": bytes(64),
    "version 0": record(STDOUT, HEAD, version=0) + end(),
    "version 2": record(STDOUT, HEAD, version=2) + end(),
    **{
        f"type {type_}": record(type_, b"?") + record(STDOUT, HEAD) + end()
        for type_ in (0, 1, 2, 4, 5, 8, 9, 12, 100, 255)
    },
    "output for request 0": record(STDOUT, HEAD, request_id=0) + end(),
    "the end of request 0": record(STDOUT, HEAD) + end(request_id=0),
    "output for another request": record(STDOUT, HEAD, request_id=2) + end(),
    "stderr for another request": record(STDERR, b"oh", request_id=65_535) + record(STDOUT, HEAD) + end(),
    "the end of another request": record(STDOUT, HEAD) + end(request_id=2),
    "a management record of a request": record(GET_VALUES_RESULT, b"") + record(STDOUT, HEAD) + end(),
    "an end of 0 bytes": record(STDOUT, HEAD) + record(END),
    "an end of 7 bytes": record(STDOUT, HEAD) + record(END, bytes(7)),
    "an end of 9 bytes": record(STDOUT, HEAD) + record(END, bytes(9)),
    "an end of 64 KiB": record(STDOUT, HEAD) + record(END, bytes(65_535)),
    "an unknown status": record(STDOUT, HEAD) + end(4),
    "the largest status": record(STDOUT, HEAD) + end(255),
    "overloaded in mid-reply": record(STDOUT, HEAD) + end(OVERLOADED),
    "overloaded in mid-head": record(STDOUT, HEAD[:9]) + end(OVERLOADED),
    "unable to multiplex in mid-reply": record(STDOUT, HEAD) + end(CANT_MPX_CONN),
    "another role in mid-reply": record(STDOUT, HEAD) + end(UNKNOWN_ROLE),
    "output after its end": record(STDOUT, HEAD) + record(STDOUT) + record(STDOUT, b"more") + end(),
    "output ends twice": record(STDOUT, HEAD) + record(STDOUT) + record(STDOUT) + end(),
    "an end without a head": end(),
    "an end in mid-head": record(STDOUT, HEAD[:-2]) + end(),
    "output ends without a head": record(STDOUT) + end(),
    "a head of nothing": record(STDOUT, b"\r\n\r\n") + end(),
    "a line without a colon": _head(b"so it is"),
    "a name with a space": _head(b"X Y: 1"),
    "a name with a space behind": _head(b"X : 1"),
    "a name of nothing": _head(b": 1"),
    "a name that is no ASCII": _head("Ü: 1".encode()),
    "a folded line": _head(b"X: 1", b"  more"),
    "a NUL": _head(b"X: \0"),
    "a bare CR": _head(b"X: 1\rBridge-Outcome: reject"),
    "two statuses": _head(b"Status: 200", b"Status: 500"),
    "a status of two digits": _head(b"Status: 20"),
    "a status of words": _head(b"Status: fine"),
    "a status below 100": _head(b"Status: 099"),
    "two lengths": _head(b"Content-Length: 0", b"Content-Length: 0"),
    "a length below 0": _head(b"Content-Length: -1"),
    "a length of words": _head(b"Content-Length: all"),
    "a length past every limit": _head(b"Content-Length: 999999999999999999"),
    "a length of too many digits": _head(b"Content-Length: " + b"9" * 5000),
    "a body short of its length": _head(b"Content-Length: 1"),
    "100,000 headers": b"".join([record(STDOUT, b"X-A: b\r\n" * 5000)] * 20) + _head(),
    "a line of 1 MiB": record(STDOUT, b"X: ") + record(STDOUT, bytes(65_535)) * 16 + _head(),
}
"""What no server may answer, by name: all of it at once, and then nothing more."""

Lie = Callable[[], Iterable[bytes]]
"""The pieces of an answer, made anew for each request."""


def endless(content: bytes, type_: int = STDOUT, begin: bytes = b"") -> Lie:
    """A reply that goes on with records of this content."""
    one = record(type_, content)
    some = one * max(1, 65_536 // len(one))

    def pieces() -> Iterator[bytes]:
        yield begin
        yield from repeat(some)

    return pieces


class LyingServer:
    """Answers one request after the other with these lies, and all that follow with the truth. After the last lie it
    closes the connection where it `leaves`, and else waits for the client to do so. `pause`: seconds between pieces."""

    def __init__(self, *lies: Lie, leaves: bool = False, pause: float = 0.0) -> None:
        self._lies = list(lies)
        self._leaves = leaves
        self._pause = pause
        self.connections = 0
        """How many connections were made to it."""
        self.open = 0
        """How many of them are open."""
        self.most_open = 0
        """How many of them were open at a time."""
        self.requests = 0
        """How many requests came whole."""

    @contextlib.asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator["LyingServer"]:
        """Listen there, for as long as this is entered."""
        server = await asyncio.start_unix_server(self._serve, path)
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            while request_id := await _read_request(reader):
                if not await self._answer(writer, request_id):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left, as it should
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, request_id: int) -> bool:
        """Answer, and return whether to go on."""
        self.requests += 1
        if not self._lies:
            writer.write(truth(request_id))
            return True
        for piece in self._lies.pop(0)():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(self._pause)
        return bool(self._lies) or not self._leaves


async def _read_request(reader: asyncio.StreamReader) -> int:
    """Read to the empty STDIN that closes a request. Return its id, 0 where there is no request any more."""
    while header := await reader.read(1):
        header += await reader.readexactly(7)
        length = int.from_bytes(header[4:6], "big")
        await reader.readexactly(length + header[6])
        if header[1] == STDIN and not length:
            return int.from_bytes(header[2:4], "big")
    return 0
