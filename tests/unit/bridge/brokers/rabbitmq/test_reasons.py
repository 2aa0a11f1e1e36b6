"""The reason why no connection to RabbitMQ can be made, as people read it."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiormq.exceptions import AMQPConnectionError

from bridge.brokers.rabbitmq.connection.address import address
from bridge.brokers.rabbitmq.connection.connecting import connect
from bridge.brokers.rabbitmq.connection.errors import error_text, reason_of
from tests.ports import free_ports

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def as_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as an HTTP server answers a request that it cannot read."""
    await reader.read(8)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def as_amqp_1_0(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the header of another version of AMQP."""
    await reader.read(8)
    writer.write(b"AMQP\x00\x01\x00\x00")


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer nothing."""
    await reader.read(8)


@asynccontextmanager
async def serving(reply: Reply, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a port: reply, and close the connection. Yield the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reply(reader, writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


async def reason(url: str) -> str:
    """Return the text of the error of connecting."""
    with pytest.raises(AMQPConnectionError) as raised:
        await connect(address(url))
    return error_text(raised.value)


@pytest.mark.parametrize(
    ("reply", "scheme", "why"),
    [
        (as_http, "amqp", "speaks HTTP and not AMQP"),
        (as_http, "amqps", "TLS: what listens there does not speak TLS as expected (WRONG_VERSION_NUMBER)"),
        (as_amqp_1_0, "amqp", "another version of AMQP: expected 0-9-1"),
        (nothing, "amqp", "closed the connection: it may expect TLS (amqps://)"),
    ],
)
async def test_what_listens_is_another_thing(reply: Reply, scheme: str, why: str) -> None:
    """The protocol that was met is named."""
    async with serving(reply) as port:
        assert why in await reason(f"{scheme}://127.0.0.1:{port}/")


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """Return the context of a server with a certificate that nobody has signed."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return tls


async def test_a_certificate_that_is_not_accepted(tls: ssl.SSLContext) -> None:
    """The error has the reason of the check. A client without TLS at the same port gets an error about TLS."""
    async with serving(nothing, tls) as port:
        assert (
            await reason(f"amqps://127.0.0.1:{port}/")
            == "TLS: the certificate is not accepted (self-signed certificate)"
        )
        assert "it may expect TLS (amqps://)" in await reason(f"amqp://127.0.0.1:{port}/")


async def test_nothing_listens() -> None:
    """A refused connection is named."""
    (port,) = free_ports(1)

    assert await reason(f"amqp://127.0.0.1:{port}/") == "nothing listens there (connection refused)"


async def test_no_such_host() -> None:
    """A name that cannot be resolved is named as such."""
    assert (await reason("amqp://no.such.host.invalid/")).startswith("there is no such host (")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(24, "Too many open files"), "Too many open files"),
        (OSError("odd"), "odd"),
        (RuntimeError(), "RuntimeError"),
        (AMQPConnectionError(), "AMQPConnectionError"),
        (AMQPConnectionError(320, "CONNECTION_FORCED"), "320 CONNECTION_FORCED"),
    ],
)
def test_other_errors_keep_their_text(error: Exception, why: str) -> None:
    """An error without a text is named by its type."""
    assert reason_of(error) == why
