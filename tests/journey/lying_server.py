"""A FastCGI server that breaks the protocol: it reads each request on a Unix socket, and sends the bytes of a test.

It shares no code with `bridge.fastcgi`. `BREACHES` are replies that a FastCGI client must not accept,
`OTHER_PROTOCOLS` are replies of servers that are no FastCGI servers.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path

from tests.unit.bridge.fastcgi.application import (
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
    """Return a valid reply, with everything that a valid reply may have."""
    errors = record(STDERR, b"said", request_id=request_id)
    output = record(STDOUT, DELIVERED, request_id=request_id, padding=3) + record(STDOUT, request_id=request_id)
    return errors + output + end(request_id=request_id, padding=7)


def _head(*lines: bytes) -> bytes:
    """Return a reply with the receiver's verdict and these additional header lines."""
    return record(STDOUT, b"\r\n".join([b"Bridge-Outcome: delivered", *lines, b"", b""])) + end()


OTHER_PROTOCOLS: dict[str, bytes] = {
    "HTTP": b"HTTP/1.1 200 OK\r\nBridge-Outcome: delivered\r\n\r\n",
    "HTTP 0.9": b"<!DOCTYPE HTML>\n<html>\n",
    "SMTP": b"220 mail.example ESMTP\r\n",
    "Redis": b"-ERR unknown command\r\n",
}

BREACHES: dict[str, bytes] = {
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
    "a name with a space after it": _head(b"X : 1"),
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
"""Invalid replies, by name. The server sends the whole reply at once, and then waits."""

Lie = Callable[[], Iterable[bytes]]
"""Makes the pieces of an invalid reply. Called for each request that gets it."""


def endless(content: bytes, type_: int = STDOUT, begin: bytes = b"") -> Lie:
    """Return a reply of `begin` and then records with this content, without end."""
    one = record(type_, content)
    several = one * max(1, 65_536 // len(one))

    def pieces() -> Iterator[bytes]:
        yield begin
        yield from repeat(several)

    return pieces


class LyingServer:
    """Sends these invalid replies, one to each request, and valid replies to all later requests.

    With `leaves` it closes the connection after the last invalid reply; otherwise it waits until the client closes it.
    `pause` is the time in seconds between the pieces of a reply.
    """

    def __init__(self, *lies: Lie, leaves: bool = False, pause: float = 0.0) -> None:
        self._lies = list(lies)
        self._leaves = leaves
        self._pause = pause
        self.connections = 0
        """The number of connections so far."""
        self.open = 0
        """The number of open connections."""
        self.most_open = 0
        """The most connections that were open at the same time."""
        self.requests = 0
        """The number of complete requests so far."""

    @contextlib.asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator["LyingServer"]:
        """Listen on a Unix socket for the duration of the `with` block."""
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
            pass  # the client has closed the connection, as it should
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, request_id: int) -> bool:
        """Send a reply; return False if the connection must be closed."""
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
    """Read until the empty STDIN record that ends a request. Return the request id, 0 if there is no further one."""
    while header := await reader.read(1):
        header += await reader.readexactly(7)
        length = int.from_bytes(header[4:6], "big")
        await reader.readexactly(length + header[6])
        if header[1] == STDIN and not length:
            return int.from_bytes(header[2:4], "big")
    return 0
