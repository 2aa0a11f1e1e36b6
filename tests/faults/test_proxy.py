"""The TCP proxy that simulates a bad network: each of its methods, against an echo server. No program of ours runs."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.proxy import Proxy
from tests.limits import PATIENCE
from tests.ports import free_port

BROKEN = (ConnectionResetError, BrokenPipeError)

SOON = 0.2
"""Seconds to wait before the absence of bytes counts as silence."""


class Echo:
    """An echo server. `taken` has the connections that it has accepted."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.taken: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening, and close every connection."""
        self._listener.close()
        for connection in self.taken:
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.taken.append(connection)
                threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while chunk := connection.recv(65536):
                connection.sendall(chunk)
            connection.shutdown(socket.SHUT_WR)


@pytest.fixture
def server() -> Iterator[Echo]:
    """An echo server."""
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(server: Echo) -> Iterator[Proxy]:
    """A proxy to the echo server."""
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """A connection through the proxy that has echoed some bytes already."""
    with connected(proxy) as client:
        assert echoed(client, b"hello") == b"hello"
        yield client


def connected(proxy: Proxy) -> socket.socket:
    """Open a connection through the proxy."""
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)


def echoed(client: socket.socket, text: bytes) -> bytes:
    """Send a text, and return the echo."""
    client.sendall(text)
    received = b""
    while len(received) < len(text) and (chunk := client.recv(65536)):
        received += chunk
    return received


def receives_nothing(client: socket.socket) -> bool:
    """Return True if neither bytes nor the end of the stream arrive."""
    client.settimeout(SOON)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE)
    return False


def test_it_carries_both_ways(client: socket.socket) -> None:
    """All bytes come back, and so does the end of the stream."""
    text = bytes(range(256)) * 4096
    sending = threading.Thread(target=client.sendall, args=(text,))
    sending.start()
    received = b""
    while len(received) < len(text):
        received += client.recv(65536)
    sending.join()
    client.shutdown(socket.SHUT_WR)
    assert (received == text, client.recv(1)) == (True, b"")


def test_its_url_leads_through_it(proxy: Proxy) -> None:
    """The URL keeps the login and the virtual host, and has the proxy's host and port."""
    assert proxy.url("amqp://me:pass@127.0.0.1:5672/vhost") == f"amqp://me:pass@127.0.0.1:{proxy.port}/vhost"


def test_reset(proxy: Proxy, server: Echo, client: socket.socket) -> None:
    """Both sides get a reset; a new connection works."""
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(BROKEN):
        until_broken(server.taken[0])
    with connected(proxy) as another:
        assert echoed(another, b"again") == b"again"


def until_broken(end: socket.socket) -> None:
    """Send until the connection raises an error."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        end.sendall(b"x")


def test_black_hole(proxy: Proxy, client: socket.socket) -> None:
    """No bytes arrive, on new connections neither, until `clear()`; then all of them arrive."""
    proxy.black_hole()
    with connected(proxy) as another:
        client.sendall(b"one")
        another.sendall(b"two")
        assert receives_nothing(client)
        assert receives_nothing(another)

        proxy.clear()

        assert (client.recv(3), another.recv(3)) == (b"one", b"two")


def test_latency(proxy: Proxy, client: socket.socket) -> None:
    """A round trip takes twice the latency, and many messages at once take no longer than a single one."""
    proxy.latency(0.15)
    began = time.monotonic()
    for _ in range(200):
        client.sendall(b"x" * 50)
    received = 0
    while received < 10_000:
        received += len(client.recv(10_000))
    assert 0.3 <= time.monotonic() - began < 30.0  # one after the other, they would take a minute


def test_trickle(proxy: Proxy, client: socket.socket) -> None:
    """All bytes arrive, in smaller pieces."""
    proxy.trickle()
    client.sendall(text := b"0123456789" * 50)
    pieces: list[bytes] = []
    while len(b"".join(pieces)) < len(text):
        pieces.append(client.recv(65536))
    assert b"".join(pieces) == text
    assert len(pieces) > 1


def test_half_open_for_the_client(proxy: Proxy, server: Echo, client: socket.socket) -> None:
    """The server's side is closed, and the client gets no error."""
    proxy.half_open(told="server")
    with pytest.raises(BROKEN):
        until_broken(server.taken[0])
    client.sendall(b"anyone?")
    assert receives_nothing(client)


def test_half_open_for_the_server(proxy: Proxy, server: Echo, client: socket.socket) -> None:
    """The client's side is closed, and the server gets no error."""
    proxy.half_open(told="client")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    server.taken[0].sendall(b"anyone?")
    assert receives_nothing(server.taken[0])


def test_no_server() -> None:
    """A connection is reset if the target does not listen."""
    with Proxy(free_port()) as proxy, pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.recv(1)
