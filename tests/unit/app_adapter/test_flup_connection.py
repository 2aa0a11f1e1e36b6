"""A connection under flup, record by record: streams, bodies, and clients that leave or break the protocol."""

import socket
import struct
from collections.abc import Iterable, Iterator
from threading import Event
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from tests.limits import PATIENCE
from tests.unit.app_adapter.fcgi_client import (
    ABORT,
    END,
    STDERR,
    STDOUT,
    begin,
    params,
    record,
    request,
    served,
)

COMPLETE = struct.pack(">IB3x", 0, 0)


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the body of the request."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]


class Stream:
    """An app that yields a piece each time that the test lets it."""

    def __init__(self, pieces: int = 2, *, error: BaseException | None = None) -> None:
        self.steps = [Event() for _ in range(pieces + 1)]
        self.closed = Event()
        self.may_close = Event()
        self._pieces = pieces
        self._error = error

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return self

    def __iter__(self) -> Iterator[bytes]:
        for number in range(self._pieces):
            assert self.steps[number].wait(PATIENCE)
            yield b"%d" % number
        assert self.steps[-1].wait(PATIENCE)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Note the call, and wait until the test goes on."""
        self.closed.set()
        assert self.may_close.wait(PATIENCE)


@pytest.mark.parametrize("keep", [False, True])
def test_a_stream_reaches_the_client_piece_by_piece(keep: bool) -> None:
    """The client has each piece before the next one is made, and the end while `close()` still works."""
    app = Stream()

    with served(app) as client:
        client.send(request(keep=keep))
        app.steps[0].set()
        assert client.record() == (STDOUT, b"Status: 200 OK\r\n\r\n0")
        app.steps[1].set()
        assert client.record() == (STDOUT, b"1")
        app.steps[2].set()
        assert client.reply() == [(STDOUT, b""), (END, COMPLETE)]
        assert app.closed.wait(PATIENCE)
        if not keep:
            assert client.record() is None
        app.may_close.set()


@pytest.mark.parametrize("error", [ValueError("broken"), BrokenPipeError("broken"), SystemExit("broken")], ids=repr)
def test_a_response_that_breaks_has_no_end(error: BaseException) -> None:
    """The client gets the traceback, a record that is an error, and the end of the stream, so it takes no part of a
    file for the whole."""
    app = Stream(1, error=error)
    for event in (*app.steps, app.may_close):
        event.set()

    with served(app) as client:
        client.send(request())
        records = client.reply()

    assert records[0] == (STDOUT, b"Status: 200 OK\r\n\r\n0")
    assert records[1][0] == STDERR
    assert type(error).__name__.encode() in records[1][1]
    assert records[2:] == [(ABORT, b"")]
    assert app.closed.is_set()


def broken(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
    """Raise what flup takes for a client that has left."""
    raise BrokenPipeError("the app's own")


def test_an_apps_broken_pipe_is_an_error_of_the_app() -> None:
    """The client gets a 500, and the traceback."""
    with served(broken) as client:
        client.send(request())
        records = client.reply()
        client.send(request())
        assert client.output().startswith(b"Status: 500 ")

    assert records[-1] == (END, COMPLETE)
    assert any(kind == STDERR and b"the app's own" in content for kind, content in records)
    assert any(kind == STDOUT and content.startswith(b"Status: 500 ") for kind, content in records)


def endless(piece: bytes, closed: Event) -> Any:
    """Return an app that yields a piece again and again, and notes its end."""

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield piece
        finally:
            closed.set()

    return app


@pytest.mark.parametrize("piece", [b"x", b"x" * 1_000_000, b""], ids=["small", "large", "empty"])
def test_a_client_that_leaves_ends_an_endless_response(piece: bytes) -> None:
    """The app is not asked for pieces that nobody reads."""
    closed = Event()

    with served(endless(piece, closed)) as client:
        client.send(request())
        if piece:
            assert client.record() is not None
        client.close()

        assert closed.wait(PATIENCE)


def test_a_client_that_aborts_ends_the_response() -> None:
    """ABORT_REQUEST is seen when the app next reads."""
    heard: list[BaseException] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            environ["wsgi.input"].read()
        except ConnectionError as error:
            heard.append(error)
            raise
        return []

    with served(app) as client:
        client.send(begin() + params(CONTENT_LENGTH="5") + record(5, b"ab") + record(2))
        client.reply()

    assert "aborted" in str(heard[0])


@pytest.mark.parametrize("length", [None, "", "6"])
@pytest.mark.parametrize("keep", [False, True])
def test_a_body_arrives_whatever_is_known_of_its_length(length: str | None, keep: bool) -> None:
    """Two requests, one after the other: STDIN has an end of its own."""
    with served(echo) as client:
        for _ in range(1 + keep):
            client.send(
                begin(keep=keep) + params(CONTENT_LENGTH=length) + record(5, b"abc") + record(5, b"def") + record(5)
            )

            assert client.output().endswith(b"\r\n\r\nabcdef")


def test_a_body_before_the_end_of_the_parameters_is_kept() -> None:
    """The specification allows it."""
    with served(echo) as client:
        client.send(begin() + record(5, b"ab") + record(5) + params(CONTENT_LENGTH="2"))

        assert client.output().endswith(b"\r\n\r\nab")


def test_a_body_that_is_not_read_belongs_to_no_other_request() -> None:
    """The next request on the connection has its own body."""
    with served(lambda environ, start: (start("200 OK", []), [b"x"])[1]) as client:
        client.send(request(b"y" * 50_000))
        assert client.output().endswith(b"x")
        client.send(request(b"z"))
        assert client.output().endswith(b"x")


@pytest.mark.parametrize("length", [None, "5"])
def test_a_body_that_its_client_breaks_off_is_no_body(length: str | None) -> None:
    """The app is told, and sees no part of a body as the whole."""
    seen: list[object] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            seen.append(environ["wsgi.input"].read())
        except ConnectionError as error:
            seen.append(type(error).__name__)
            raise
        return []

    with served(app) as client:
        client.send(begin() + params(CONTENT_LENGTH=length) + record(5, b"abc"))
        client.socket.shutdown(socket.SHUT_WR)
        client.reply()

    assert seen == ["BodyBrokenOff"]


def test_the_environ_is_that_of_a_pool() -> None:
    """Other processes serve the same app at the same time; this one runs one request at a time."""
    seen: dict[str, Any] = {}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.update(environ)
        start_response("204 No Content", [])
        return []

    with served(app) as client:
        client.send(
            request(HTTPS="on", HTTP_PROXY="http://evil/", BRIDGE_SECRET="x", REQUEST_URI="/a?b=1", PATH_INFO=None)
        )
        client.output()

    assert (seen["wsgi.multiprocess"], seen["wsgi.multithread"], seen["wsgi.run_once"]) == (True, False, False)
    assert (seen["wsgi.url_scheme"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("https", "/a", "b=1")
    assert not {"HTTP_PROXY", "BRIDGE_SECRET"} & seen.keys()


@pytest.mark.parametrize(
    ("claimed", "replay"), [("the-secret-of-them-all", True), ("the-secret", False), ("\u00ff", False), (None, False)]
)
def test_a_replay_needs_the_secret(claimed: str | None, replay: bool) -> None:
    """Without it, a request has none of the parameters that make a replay."""
    seen: dict[str, Any] = {}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.update(environ)
        start_response("204 No Content", [])
        return []

    with served(app, secret="the-secret-of-them-all") as client:
        client.send(request(BRIDGE_SECRET=claimed, BRIDGE_REPLAY="1", BRIDGE_QUEUE="q"))
        client.output()

    assert {name for name in seen if name.startswith("BRIDGE_")} == (
        {"BRIDGE_REPLAY", "BRIDGE_QUEUE"} if replay else set()
    )


TOO_MUCH = {
    "parameters": begin() + record(4, b"x" * 65_000) * 17,
    "tiny parameters": begin() + record(4, b"x") * 120_000,
    "a body before the end of the parameters": begin() + record(5, b"x" * 65_000) * 17,
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_a_head_without_end_is_refused(what: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The connection ends at 1 MiB, and the app does not run."""
    with served(broken) as client:
        try:
            client.send(TOO_MUCH[what])
            assert client.reply() == []
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has closed the connection while the client still sends

    assert "the FastCGI client broke the protocol: a request of more than 1048576 bytes" in capfd.readouterr().err


def test_a_head_just_below_the_limit_is_served() -> None:
    """The limit applies to each request of a connection separately."""
    fields: dict[str, str | None] = {f"X_{number}": "y" * 60_000 for number in range(17)}
    with served(echo) as client:
        for _ in range(2):
            client.send(request(b"a", keep=True, **fields))
            assert client.output().endswith(b"a")


def failing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Log an error as Flask does, and answer."""
    environ["wsgi.errors"].write("ERROR in app: Exception on / [GET]\nTraceback (most recent call last):\n  ...\n")
    environ["wsgi.errors"].flush()
    start_response("500 No", [])
    return [b"sorry"]


@pytest.mark.parametrize("prints", [False, True])
def test_error_output_goes_where_the_pool_wants_it(prints: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """The client gets it always; behind web servers, the pool's own log has it whole."""
    with served(failing, prints_errors=prints) as client:
        client.send(request())
        records = client.reply()

    errors = b"".join(content for kind, content in records if kind == STDERR).decode()
    assert errors.endswith("  ...\n")
    assert capfd.readouterr().err == (errors if prints else "")


def chatty(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Log many short lines, as a logger does."""
    for number in range(20_000):
        environ["wsgi.errors"].write(f"{number}\n")
        environ["wsgi.errors"].flush()
    environ["wsgi.errors"].writelines(["the ", "end\n"])
    start_response("200 OK", [])
    return [b"x"]


def test_short_lines_of_error_output_are_gathered() -> None:
    """The lines come in a few records: a client may refuse a reply of very many."""
    with served(chatty) as client:
        client.send(request())
        records = [content for kind, content in client.reply() if kind == STDERR and content]

    assert len(records) < 10
    assert b"".join(records) == b"".join(b"%d\n" % number for number in range(20_000)) + b"the end\n"


@pytest.mark.parametrize("length", [None, "2", "3", "4"])
def test_a_request_is_the_same_in_one_piece_and_byte_by_byte(length: str | None) -> None:
    """So is its reply: of a body that is longer than its length, of one that is shorter, and with nothing between."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body: object
        try:
            body = environ["wsgi.input"].read()
        except ConnectionError as error:
            body = str(error)
        start_response("200 OK", [])
        plain = {name: value for name, value in environ.items() if isinstance(value, str | bool | tuple)}
        return [repr((body, plain)).encode()]

    data = request(b"abc", CONTENT_LENGTH=length, HTTP_PROXY="x", REQUEST_URI="/a?b=1", PATH_INFO=None)
    replies = []
    with served(app) as client:
        for pieces in ([data], [bytes([byte]) for byte in data]):
            for piece in pieces:
                client.send(piece)
            replies.append(client.reply())

    assert replies[0] == replies[1]
    assert (b"broke" in replies[0][0][1] or b"ended 1 bytes before" in replies[0][0][1]) == (length == "4")
