"""A small HTTP server for monitoring: fixed pages, GET and HEAD, one request a connection. It trusts no client: a
request has a largest size and a longest time, and only so many are served at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from bridge.config.foreign_pool import Address
from bridge.errors import SettingsError
from bridge.logger import log

MOST_CONNECTIONS = 32
"""Further clients are disconnected at once."""

MAX_HEAD = 8 * 1024
HEAD_WITHIN = 5.0
EXCHANGE_WITHIN = 15.0
"""The longest time of a whole exchange, for a page that takes long and for a client that reads slowly."""

_METHODS = ("GET", "HEAD")


class Page(NamedTuple):
    """A response."""

    status: HTTPStatus
    body: str
    content_type: str = "text/plain; charset=utf-8"


MakePage = Callable[[], Awaitable[Page]]


class HttpServer:
    """Serves the pages, by path, while it is entered. Raise `SettingsError` if it cannot listen at the address."""

    def __init__(self, address: Address, pages: Mapping[str, MakePage]) -> None:
        self._address = address
        self._pages = pages
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> None:
        host, port = self._address.host, self._address.port
        try:
            self._server = await asyncio.start_server(self._connected, host, port, limit=MAX_HEAD, reuse_address=True)
        except OSError as error:
            raise SettingsError(
                f"http = '{self._address}': expected an address to listen on: {error}; each worker of a machine needs "
                "its own (BRIDGE_HTTP)"
            ) from error
        log.info("serving %s at http://%s", ", ".join(self._pages), self._address)

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._serving) >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(EXCHANGE_WITHIN):
                method, page = await self._response(reader)
                writer.write(_encoded(page, with_body=method != "HEAD"))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client has gone, is too slow, or does not read
        except Exception:
            log.exception("internal error while serving a page over HTTP; the client is disconnected")
        finally:
            writer.transport.abort()

    async def _response(self, reader: asyncio.StreamReader) -> tuple[str, Page]:
        """Read a request, and return its method and the response."""
        try:
            async with asyncio.timeout(HEAD_WITHIN):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return "", Page(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"expected at most {MAX_HEAD} bytes\n")
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return "", Page(HTTPStatus.BAD_REQUEST, "expected a request of HTTP/1.1\n")
        method, target, _ = words
        if method not in _METHODS:
            return method, Page(HTTPStatus.METHOD_NOT_ALLOWED, "expected GET or HEAD\n")
        make = self._pages.get(target.partition("?")[0])
        if make is None:
            return method, Page(HTTPStatus.NOT_FOUND, f"expected one of {', '.join(self._pages)}\n")
        return method, await make()


def _encoded(page: Page, *, with_body: bool) -> bytes:
    body = page.body.encode("utf-8", "backslashreplace")
    lines = [
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(body)}",
        f"Allow: {', '.join(_METHODS)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    head = "".join(f"{line}\r\n" for line in [*lines, ""])
    return head.encode("ascii") + (body if with_body else b"")
