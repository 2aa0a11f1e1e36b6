"""A child behind web servers and clients that are slow, hostile or gone: none of them holds the child."""

import json
import resource
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest

from app_adapter import front_child, front_connection
from app_adapter.flup_request import FlupServer
from app_adapter.front_child import FrontService
from app_adapter.idle import IdleHooks
from bridge.child_protocol import Listen, write_listen
from tests.limits import PATIENCE
from tests.unit.app_adapter.fcgi_client import Client, begin, params, record, request, running


def body_length(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the length of the body."""
    length = len(environ["wsgi.input"].read())
    start_response("200 OK", [])
    return [b"%d" % length]


class Front:
    """A child that serves a socket, and the pool's end of its leash."""

    def __init__(self, listener: socket.socket, leash: socket.socket) -> None:
        self._listener = listener
        self._leash = leash
        self._clients: list[Client] = []

    def connect(self) -> Client:
        """Connect a client."""
        sock = socket.socket(self._listener.family)
        sock.settimeout(PATIENCE)
        sock.connect(self._listener.getsockname())
        self._clients.append(Client(sock))
        return self._clients[-1]

    def asked(self, body: bytes = b"abc") -> bytes:
        """Send a request on a new connection, and return the body of its reply."""
        client = self.connect()
        client.send(request(body, keep=False))
        return client.output().partition(b"\r\n\r\n")[2]

    def told(self, end: bytes) -> bytes:
        """Return what the child tells the pool, up to `end`."""
        heard = b""
        while not heard.endswith(end):
            piece = self._leash.recv(1)
            assert piece, heard
            heard += piece
        return heard

    def close(self) -> None:
        """Close all connections of clients."""
        for client in self._clients:
            client.close()


@contextmanager
def front(
    directory: Path,
    app: WSGIApplication = body_length,
    *,
    order: Listen | None = None,
    idle: IdleHooks | None = None,
) -> Iterator[Front]:
    """Run a child in a thread; it listens on a Unix socket, or with an order on a port."""
    listener = socket.socket(socket.AF_UNIX if order is None else socket.AF_INET)
    listener.bind(str(directory / "front") if order is None else ("127.0.0.1", 0))
    listener.listen(200)
    leash, theirs = socket.socketpair()
    leash.settimeout(PATIENCE)
    service = FrontService(theirs, FlupServer(app), idle)
    with running(service.run):
        socket.send_fds(leash, [write_listen(order or Listen())], [listener.fileno()])
        child = Front(listener, leash)
        try:
            yield child
        finally:
            child.close()
            leash.close()
    listener.close()


PARTS = {
    "nothing": b"",
    "a byte": b"\x01",
    "a header": b"\x01\x01\x00\x01\x00\x08\x00\x00",
    "a beginning": begin(),
    "a part of the parameters": begin() + record(4, b"\x01\x01AB"),
    "a part of a record": begin() + record(4, b"\x01\x01AB")[:-1],
}


@pytest.mark.parametrize("part", PARTS)
def test_clients_that_send_a_part_of_a_head_keep_nobody_out(tmp_path: Path, part: str) -> None:
    """One child serves others while it waits for the rest of several heads."""
    with front(tmp_path) as child:
        for _ in range(5):
            child.connect().send(PARTS[part])

        assert child.asked() == b"3"


def test_a_head_may_come_byte_by_byte(tmp_path: Path) -> None:
    """Between its bytes, other clients are served."""
    with front(tmp_path) as child:
        slow = child.connect()
        for byte in request(b"hello"):
            slow.send(bytes([byte]))
        assert child.asked() == b"3"

        assert slow.output().endswith(b"5")


@pytest.mark.parametrize("part", PARTS)
def test_a_head_has_a_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Then its connection is closed, and others are not."""
    monkeypatch.setattr(front_connection, "HEAD_WITHIN", 0.2)
    monkeypatch.setattr(front_child, "LOOKED_EVERY", 0.05)
    with front(tmp_path) as child:
        slow = child.connect()
        slow.send(PARTS[part])

        assert slow.record() is None
        assert child.asked() == b"3"


def test_the_time_limit_holds_for_each_request_of_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept connection may be idle for longer, but not in a head."""
    monkeypatch.setattr(front_connection, "HEAD_WITHIN", 0.2)
    monkeypatch.setattr(front_child, "LOOKED_EVERY", 0.05)
    with front(tmp_path) as child:
        client = child.connect()
        client.send(request(b"abc"))
        assert client.output().endswith(b"3")
        client.send(begin())

        assert client.record() is None


def test_the_pool_hears_of_a_part_of_a_head(tmp_path: Path) -> None:
    """It is told when the head begins, and when nothing came of it."""
    with front(tmp_path) as child:
        slow = child.connect()
        slow.send(begin())
        assert child.told(b"?") == b"?"
        assert child.asked() == b"3"
        assert child.told(b"?") == b"+.?"  # a part of a head is still there
        slow.send(params(CONTENT_LENGTH="0") + record(5))
        assert slow.output().endswith(b"0")
        assert child.told(b".") == b"+."

        other = child.connect()
        other.send(begin())
        other.close()
        assert child.told(b"-") == b"?-"


def test_a_body_that_does_not_come_ends_its_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool is told that the child waits, the app that the body was broken off, and the child serves on."""
    monkeypatch.setattr(front_connection, "BODY_WITHIN", 0.3)
    with front(tmp_path) as child:
        slow = child.connect()
        slow.send(begin() + params(CONTENT_LENGTH="10") + record(5, b"abc"))
        assert child.told(b"?") == b"+?"

        assert b"BodyBrokenOff" in b"".join(content for _, content in slow.reply())
        assert child.asked() == b"3"


def test_a_body_that_trickles_is_one_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not renew the time."""
    monkeypatch.setattr(front_connection, "BODY_WITHIN", 0.5)
    with front(tmp_path) as child:
        slow = child.connect()
        slow.send(begin() + params(CONTENT_LENGTH="100000"))
        over = Event()

        def trickle() -> None:
            while not over.wait(0.1):
                try:
                    slow.send(record(5, b"x"))
                except OSError:
                    return

        with running(trickle):
            assert b"BodyBrokenOff" in b"".join(content for _, content in slow.reply())
            over.set()
        assert child.asked() == b"3"


def test_a_client_that_does_not_read_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response ends, and the app's body is closed."""
    monkeypatch.setattr(front_connection, "SEND_WITHIN", 0.3)
    closed = Event()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        if environ["CONTENT_LENGTH"] == "3":
            yield b"3"
            return
        try:
            while True:
                yield b"x" * 65_536
        finally:
            closed.set()

    with front(tmp_path, app) as child:
        child.connect().send(request())

        assert closed.wait(PATIENCE)
        assert child.asked() == b"3"


@pytest.mark.parametrize("keeps_sending", [False, True])
def test_a_client_that_stays_after_its_reply_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps_sending: bool
) -> None:
    """The child waits for the client's end beside its work, for a limited time even if the client sends on."""
    monkeypatch.setattr(front_connection, "FAREWELL", 0.5)
    monkeypatch.setattr(front_child, "LOOKED_EVERY", 0.05)
    with front(tmp_path) as child:
        stays = child.connect()
        stays.send(request(b"ab", keep=False))
        assert stays.output().endswith(b"2")
        assert child.asked() == b"3"

        if keeps_sending:
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                while True:
                    stays.send(b"x" * 1000)
        assert child.asked() == b"3"


def test_a_whole_reply_arrives_though_the_body_was_not_read(tmp_path: Path) -> None:
    """The connection is not reset while the client still sends."""

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("413 Too Large", [])
        return [b"no"]

    with front(tmp_path, app) as child:
        client = child.connect()
        client.send(begin(keep=False) + params(CONTENT_LENGTH="200000") + record(5, b"x" * 50_000))
        for _ in range(3):
            client.send(record(5, b"x" * 50_000))

        assert client.output().endswith(b"no")


def test_a_child_holds_a_limited_number_of_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further clients wait until one leaves."""
    monkeypatch.setattr(front_child, "MOST_HELD", 3)
    with front(tmp_path) as child:
        held = [child.connect() for _ in range(3)]
        held[0].send(b"\x01")
        child.told(b"?")
        waiting = child.connect()
        waiting.send(request(b"hello"))
        held[0].close()

        assert waiting.output().endswith(b"5")


def test_a_process_without_descriptors_serves_on(tmp_path: Path) -> None:
    """A client that cannot be accepted now is accepted later."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with front(tmp_path) as child:
        assert child.asked() == b"3"
        client = child.connect()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            client.send(request(b"hello"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert client.output().endswith(b"5")


@pytest.mark.parametrize(
    ("networks", "served"),
    [((), True), (("127.0.0.0/8",), True), (("10.0.0.0/8", "127.0.0.1"), True), (("10.0.0.0/8",), False)],
)
def test_only_allowed_clients_are_served(
    tmp_path: Path, networks: tuple[str, ...], served: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Others are closed at once, and the log has their address."""
    with front(tmp_path, order=Listen(networks)) as child:
        if served:
            assert child.asked() == b"3"
        else:
            client = child.connect()
            assert client.record() is None
    assert ("a connection from 127.0.0.1 was closed" in capfd.readouterr().err) is not served


@pytest.mark.parametrize("sent", [b"", b"L", json.dumps({"listen": {}}).encode()])
def test_a_leash_without_an_order_ends_the_child(sent: bytes) -> None:
    """The pool has ended, or is another version."""
    leash, theirs = socket.socketpair()
    service = FrontService(theirs, FlupServer(body_length))
    with running(service.run):
        leash.send(sent)
        leash.close()
