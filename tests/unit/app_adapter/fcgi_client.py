"""A FastCGI client by hand: the records of a request, and a connection that a thread of the test serves."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from wsgiref.types import WSGIApplication

from app_adapter.flup_connection import FlupConnection
from app_adapter.flup_request import FlupServer
from bridge.fastcgi.params import encode_params
from tests.limits import PATIENCE

ABORT, END, STDOUT, STDERR = 2, 3, 6, 7


def record(kind: int, content: bytes = b"", request: int = 1) -> bytes:
    """Return a record."""
    return struct.pack(">BBHHBx", 1, kind, request, len(content), 0) + content


def begin(*, keep: bool = True) -> bytes:
    """Return the record that begins a request."""
    return record(1, struct.pack(">HB5x", 1, keep))


def params(**changes: str | None) -> bytes:
    """Return the parameters of a POST and their end. A change to None removes a parameter."""
    usual: dict[str, str | None] = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1"}
    usual |= {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    given = {name: value for name, value in (usual | changes).items() if value is not None}
    return b"".join(record(4, content) for content in encode_params(given)) + record(4)


def request(body: bytes = b"", *, keep: bool = True, **changes: str | None) -> bytes:
    """Return a whole request. Without another CONTENT_LENGTH, the body has its length."""
    changes = {"CONTENT_LENGTH": str(len(body)), **changes}
    return begin(keep=keep) + params(**changes) + (record(5, body) if body else b"") + record(5)


class Client:
    """The client's end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(PATIENCE)
        self._stream = sock.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def record(self) -> tuple[int, bytes] | None:
        """Return the next record, or None at the end of the stream."""
        head = self._stream.read(8)
        if not head:
            return None
        _, kind, _, length, padding = struct.unpack(">BBHHBx", head)
        return kind, self._stream.read(length + padding)[:length]

    def reply(self) -> list[tuple[int, bytes]]:
        """Return the records up to END_REQUEST or the end of the stream."""
        records = []
        while (found := self.record()) is not None:
            records.append(found)
            if found[0] == END:
                break
        return records

    def output(self) -> bytes:
        """Return the STDOUT of a whole reply."""
        records = self.reply()
        assert records and records[-1][0] == END, records
        return b"".join(content for kind, content in records if kind == STDOUT)

    def close(self) -> None:
        """Leave."""
        self._stream.close()
        self.socket.close()


@contextmanager
def served(app: WSGIApplication, **options: object) -> Iterator[Client]:
    """Serve an app on one connection in a thread, until the client has left."""
    ours, theirs = socket.socketpair()
    connection = FlupConnection(theirs, FlupServer(app, **options))  # type: ignore[arg-type]
    with running(connection.run):
        client = Client(ours)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def running(work: Callable[[], object]) -> Iterator[None]:
    """Run a function in a thread, and wait for its end after the block."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # it is raised in the test
            raised.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it serves on"
    if raised:
        raise raised[0]
