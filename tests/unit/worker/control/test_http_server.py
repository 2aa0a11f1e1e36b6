"""The small HTTP server, as clients use and misuse it."""

import asyncio
import http.client
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

import pytest

from bridge.config.foreign_pool import Address
from bridge.errors import SettingsError
from tests.limits import PATIENCE
from tests.ports import free_port
from worker.control import http_server
from worker.control.http_server import MAX_HEAD, MOST_CONNECTIONS, HttpServer, Page

Exchange = Callable[[bytes], Awaitable[bytes]]


async def hello() -> Page:
    """Return a page."""
    return Page(HTTPStatus.OK, "héllo\n")


async def fail() -> Page:
    """Fail to make a page."""
    raise ZeroDivisionError


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    """The address of a server with two pages."""
    address = Address(host="127.0.0.1", port=free_port())
    async with HttpServer(address, {"/hello": hello, "/fail": fail}):
        yield address


async def exchange(address: Address, request: bytes) -> bytes:
    """Send bytes, and return all that the server sends back."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(request)
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def test_a_page(address: Address) -> None:
    """A real client reads the page, with its length in bytes and its type; a query is ignored."""

    def get() -> tuple[int, str | None, bytes]:
        client = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE)
        client.request("GET", "/hello?x=1", headers={"Accept": "text/plain"})
        response = client.getresponse()
        return response.status, response.headers["Content-Length"], response.read()

    assert await asyncio.to_thread(get) == (200, "7", "héllo\n".encode())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /hello HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /hello/ HTTP/1.1\r\n\r\n", 404),
        (b"POST /hello HTTP/1.1\r\n\r\n", 405),
        (b"GET /hello HTTP/2.0\r\n\r\n", 400),
        (b"GET /hello\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\xff\xff\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD + b"\r\n\r\n", 431),
    ],
)
async def test_requests(address: Address, request_: bytes, status: int) -> None:
    """Each request has an answer, and the connection is closed after it."""
    answer = await exchange(address, request_)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


async def test_head(address: Address) -> None:
    """HEAD has the length of the page, and no body."""
    answer = await exchange(address, b"HEAD /hello HTTP/1.1\r\n\r\n")

    assert b"Content-Length: 7\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_a_page_that_fails(address: Address, caplog: pytest.LogCaptureFixture) -> None:
    """Its client is disconnected, the failure is logged, and others are served."""
    assert await exchange(address, b"GET /fail HTTP/1.1\r\n\r\n") == b""
    assert "internal error" in caplog.text
    assert b"200 OK" in await exchange(address, b"GET /hello HTTP/1.1\r\n\r\n")


async def test_clients_that_send_nothing(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are disconnected after a time, and while there are too many, further clients are disconnected at once."""
    monkeypatch.setattr(http_server, "HEAD_WITHIN", 0.5)
    monkeypatch.setattr(http_server, "EXCHANGE_WITHIN", 600.0)
    idle = [socket.create_connection((address.host, address.port), 20) for _ in range(MOST_CONNECTIONS)]
    try:
        assert await exchange(address, b"GET /hello HTTP/1.1\r\n\r\n") == b""
        assert await asyncio.to_thread(idle[-1].recv, 1) == b""
        async with asyncio.timeout(PATIENCE):
            while b"200 OK" not in await exchange(address, b"GET /hello HTTP/1.1\r\n\r\n"):
                pass
    finally:
        for client in idle:
            client.close()


async def test_an_address_that_is_in_use(address: Address) -> None:
    """The error names the setting and the address."""
    with pytest.raises(SettingsError, match=rf"http = '{address}': expected an address to listen on"):
        async with HttpServer(address, {}):
            pass


async def test_the_end(address: Address) -> None:
    """The server ends although a client is connected, and the address is free again."""
    second = Address(host="127.0.0.1", port=free_port())
    async with HttpServer(second, {"/hello": hello}):
        client = await asyncio.to_thread(socket.create_connection, (second.host, second.port), 20)
        await exchange(second, b"GET /hello HTTP/1.1\r\n\r\n")
    try:
        async with HttpServer(second, {}):
            pass
    finally:
        client.close()
