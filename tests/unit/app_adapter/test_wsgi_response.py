"""The response of a WSGI app: when its pieces are sent, when it ends, and what exceptions and lost clients change."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest

from app_adapter.wsgi_response import ClientGone, Heads, WsgiResponse

HEAD = b"Status: 200 OK\r\n"


class Notes:
    """A client that notes what it got, together with what the app notes. It leaves after `stays` parts."""

    def __init__(self, stays: int = 1000) -> None:
        self.notes: list[object] = []
        self._stays = stays
        self.gone = False

    @property
    def received(self) -> bytes:
        """The bytes of all parts."""
        return b"".join(note for note in self.notes if isinstance(note, bytes))

    def has_left(self) -> bool:
        return self._stays <= 0

    def send(self, data: bytes, *, more: bool) -> None:
        self.notes.append(data)
        self._stays -= 1
        self.gone = self._stays <= 0

    def end(self) -> None:
        self.notes.append("end")


class Body:
    """A body that notes each step of its iteration and its `close()`."""

    def __init__(self, client: Notes, pieces: Iterable[bytes], closing: BaseException | None = None) -> None:
        self._client = client
        self._pieces = iter(pieces)
        self._closing = closing

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._client.notes.append("next")
        return next(self._pieces)

    def close(self) -> None:
        """Note the call, and raise what the test wants."""
        self._client.notes.append("close")
        if self._closing is not None:
            raise self._closing


def app_of(body: Iterable[bytes], *headers: tuple[str, str], status: str = "200 OK") -> WSGIApplication:
    """Return an app that answers with this body."""

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, list(headers))
        return body

    return app


def raising(error: BaseException, *before: bytes) -> Iterator[bytes]:
    """Yield some pieces, and raise."""
    yield from before
    raise error


def test_each_piece_is_sent_before_the_next_is_asked_for() -> None:
    """The head goes with the first piece; the end comes before `close()`."""
    client = Notes()

    WsgiResponse(client).run(app_of(Body(client, [b"a", b"b"])), {})

    assert client.notes == ["next", HEAD + b"\r\na", "next", b"b", "next", "end", "close"]


def test_a_body_that_has_its_length_ends_at_once() -> None:
    """The app's work after the last byte holds up no client, and it is done."""
    client = Notes()

    WsgiResponse(client).run(app_of(Body(client, [b"a", b"b"]), ("Content-Length", "2")), {})

    assert client.notes == ["next", HEAD + b"Content-Length: 2\r\n\r\na", "next", b"b", "end", "next", "close"]


def test_what_exceeds_the_length_is_not_sent() -> None:
    """A web server would take it for the next reply, or drop the connection."""
    client = Notes()

    WsgiResponse(client).run(app_of([b"abc", b"d"], ("Content-Length", "2")), {})

    assert client.notes == [HEAD + b"Content-Length: 2\r\n\r\nab", "end"]


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ([b"abc"], HEAD + b"Content-Length: 3\r\n\r\nabc"),
        ([], HEAD + b"\r\n"),
        ([b""], HEAD + b"\r\n"),
        ([b"", b"a"], HEAD + b"\r\na"),
        (iter([b"abc"]), HEAD + b"\r\nabc"),
    ],
    ids=["one piece", "none", "an empty one", "an empty one first", "an iterator"],
)
def test_the_length_is_added_where_it_is_known(body: Iterable[bytes], sent: bytes) -> None:
    """A list of one piece has its length. A reply without a body gets none: it may answer a HEAD."""
    client = Notes()

    WsgiResponse(client).run(app_of(body), {})

    assert client.received == sent
    assert client.notes[-1] == "end"


def test_write_sends_at_once() -> None:
    """The function that start_response returns sends before it returns."""
    client = Notes()

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"a")
        client.notes.append("wrote")
        return [b"b"]

    WsgiResponse(client).run(app, {})

    assert client.notes == [HEAD + b"\r\na", "wrote", b"b", "end"]


@pytest.mark.parametrize("pieces", [[b"a"] * 10, [b"a", b"", b"", b""]], ids=["pieces", "empty pieces"])
def test_a_client_that_leaves_ends_the_iteration(pieces: list[bytes]) -> None:
    """The app is closed, and asked for nothing more."""
    client = Notes(stays=1)

    with pytest.raises(ClientGone):
        WsgiResponse(client).run(app_of(Body(client, pieces)), {})

    assert client.notes[-1] == "close"
    assert client.notes.count("next") <= 2
    assert "end" not in client.notes


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError(), SystemExit(1), EOFError()], ids=repr)
def test_an_exception_after_the_first_byte_leaves_the_response_without_an_end(error: BaseException) -> None:
    """The caller is told what was sent. The app's own BrokenPipeError is no client's."""
    client = Notes()
    response = WsgiResponse(client)

    with pytest.raises(type(error)):
        response.run(app_of(raising(error, b"a")), {})

    assert (response.begun, response.ended) == (True, False)
    assert client.notes == [HEAD + b"\r\na"]


def test_an_exception_before_the_first_byte_sends_nothing() -> None:
    """The caller can still answer 500."""
    client = Notes()
    response = WsgiResponse(client)

    with pytest.raises(ValueError, match="x"):
        response.run(app_of(raising(ValueError("x"))), {})

    assert (response.begun, client.notes) == (False, [])


def test_an_exception_of_close_comes_after_the_end() -> None:
    """The response is whole."""
    client = Notes()
    response = WsgiResponse(client)

    with pytest.raises(ValueError, match="late"):
        response.run(app_of(Body(client, [b"a"], ValueError("late"))), {})

    assert response.ended
    assert client.notes[-2:] == ["end", "close"]


class OnlyOneArgument(Exception):
    """An exception that cannot be made with its message alone."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(code, why)


@pytest.mark.parametrize("late", [False, True])
def test_start_response_may_replace_the_head_until_it_is_sent(late: bool) -> None:
    """Afterwards it raises the very exception that the app gave it."""
    client, error = Notes(), OnlyOneArgument(1, "x")

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "7")])
        if late:
            yield b"a"
        try:
            raise error
        except OnlyOneArgument:
            start_response("500 No", [], sys.exc_info())
        yield b"sorry"

    if late:
        with pytest.raises(OnlyOneArgument) as raised:
            WsgiResponse(client).run(app, {})
        assert raised.value is error
    else:
        WsgiResponse(client).run(app, {})
        assert client.received == b"Status: 500 No\r\n\r\nsorry"


def twice(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


WRONG: dict[str, Callable[[WSGIEnvironment, Any], Iterable[bytes]]] = {
    "never": lambda _, __: [b"a"],
    "twice": twice,
    "a split header": app_of([], ("X", "a\r\nY: b")),
    "a split name": app_of([], ("X\n", "a")),
    "no status": app_of([], status="OK"),
    "no reason": app_of([], status="2000"),
    "no latin-1": app_of([], ("X", "\u20ac")),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_start_of_the_response_sends_nothing(what: str) -> None:
    """It raises in the app, so no client gets a split or damaged head."""
    client = Notes()

    with pytest.raises((RuntimeError, ValueError)):
        WsgiResponse(client).run(WRONG[what], {})

    assert client.notes == []


def test_a_body_that_gets_shorter_is_sent_whole() -> None:
    """It is its own iterator, and its length is that of the rest."""

    class Queue(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            while self:
                yield self.pop(0)

    notes = Notes()
    WsgiResponse(notes).run(app_of(Queue([b"first", b"second"])), {})
    assert notes.received.endswith(b"firstsecond")


def test_a_head_is_kept_only_for_plain_headers() -> None:
    """Others can be equal to the next ones, and have another text. PEP 3333 does not allow some of those here, so the
    types do not either."""
    heads = Heads()
    assert heads.head_of("200 OK", iter([("X", "1")])).data == b"Status: 200 OK\r\nX: 1\r\n"  # type: ignore[arg-type]
    assert heads.head_of("200 OK", []).data == b"Status: 200 OK\r\n"
    pair = ["X", "1"]
    assert heads.head_of("200 OK", [pair]).data == b"Status: 200 OK\r\nX: 1\r\n"  # type: ignore[list-item]
    pair[1] = "2"
    assert heads.head_of("200 OK", [pair]).data == b"Status: 200 OK\r\nX: 2\r\n"  # type: ignore[list-item]
    plain = [("X", "1")]
    assert heads.head_of("200 OK", plain) is heads.head_of("200 OK", [("X", "1")])
    plain[0] = ("X", "2")
    assert heads.head_of("200 OK", plain).data == b"Status: 200 OK\r\nX: 2\r\n"
