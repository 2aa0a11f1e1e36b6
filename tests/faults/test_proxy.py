"""The TCP proxy that is a bad network: each of its verbs, against a server that echoes. Not a test of the bridge."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.proxy import Proxy
from tests.ports import free_port

BROKEN = (ConnectionResetError, BrokenPipeError)

SOON = 0.2
"""Seconds in which something would have arrived, if it did."""


class Echo:
    """A server that sends back what it gets, and keeps the connections that it has taken."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.taken: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more, and end every connection."""
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
    """A server that echoes."""
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(server: Echo) -> Iterator[Proxy]:
    """A proxy to it."""
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """A connection through the proxy, over which something has come back."""
    with connected(proxy) as client:
        assert said(client, b"hello") == b"hello"
        yield client


def connected(proxy: Proxy) -> socket.socket:
    """A new connection through the proxy."""
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5.0)


def said(client: socket.socket, text: bytes) -> bytes:
    """Send this, and return as much of what comes back."""
    client.sendall(text)
    heard = b""
    while len(heard) < len(text) and (chunk := client.recv(65536)):
        heard += chunk
    return heard


def hears_nothing(client: socket.socket) -> bool:
    """Whether nothing comes, no end either."""
    client.settimeout(SOON)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(5.0)
    return False


def test_it_carries_both_ways(client: socket.socket) -> None:
    """What is sent comes back whole, and so does the end."""
    text = bytes(range(256)) * 4096
    sending = threading.Thread(target=client.sendall, args=(text,))
    sending.start()
    heard = b""
    while len(heard) < len(text):
        heard += client.recv(65536)
    sending.join()
    client.shutdown(socket.SHUT_WR)
    assert (heard == text, client.recv(1)) == (True, b"")


def test_its_url_leads_through_it(proxy: Proxy) -> None:
    """Login and virtual host stay, host and port are the proxy's."""
    assert proxy.url("amqp://me:pass@127.0.0.1:5672/vhost") == f"amqp://me:pass@127.0.0.1:{proxy.port}/vhost"


def test_reset(proxy: Proxy, server: Echo, client: socket.socket) -> None:
    """Both sides meet a reset; who connects then is served."""
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(BROKEN):
        until_broken(server.taken[0])
    with connected(proxy) as another:
        assert said(another, b"again") == b"again"


def until_broken(end: socket.socket) -> None:
    """Send until the connection is found to be gone."""
    limit = time.monotonic() + 5.0
    while time.monotonic() < limit:
        end.sendall(b"x")


def test_black_hole(proxy: Proxy, client: socket.socket) -> None:
    """Nothing arrives, on new connections either, until the network is whole; then all that was sent does."""
    proxy.black_hole()
    with connected(proxy) as another:
        client.sendall(b"one")
        another.sendall(b"two")
        assert hears_nothing(client)
        assert hears_nothing(another)

        proxy.clear()

        assert (client.recv(3), another.recv(3)) == (b"one", b"two")


def test_latency(proxy: Proxy, client: socket.socket) -> None:
    """There and back takes twice the latency, for many at once not longer than for one."""
    proxy.latency(0.15)
    began = time.monotonic()
    for _ in range(20):
        client.sendall(b"x" * 50)
    heard = 0
    while heard < 1000:
        heard += len(client.recv(1000))
    assert 0.3 <= time.monotonic() - began < 3.0  # each for itself, they would take six


def test_trickle(proxy: Proxy, client: socket.socket) -> None:
    """What is sent comes in smaller pieces, and whole."""
    proxy.trickle()
    client.sendall(text := b"0123456789" * 50)
    pieces: list[bytes] = []
    while len(b"".join(pieces)) < len(text):
        pieces.append(client.recv(65536))
    assert b"".join(pieces) == text
    assert len(pieces) > 1


def test_half_open_for_the_client(proxy: Proxy, server: Echo, client: socket.socket) -> None:
    """The server's side is gone, and the client is not told."""
    proxy.half_open(told="server")
    with pytest.raises(BROKEN):
        until_broken(server.taken[0])
    client.sendall(b"anyone?")
    assert hears_nothing(client)


def test_half_open_for_the_server(proxy: Proxy, server: Echo, client: socket.socket) -> None:
    """The client's side is gone, and the server is not told."""
    proxy.half_open(told="client")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    server.taken[0].sendall(b"anyone?")
    assert hears_nothing(server.taken[0])


def test_no_server() -> None:
    """Where the target does not listen, who connects is reset."""
    with Proxy(free_port()) as proxy, pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.recv(1)
