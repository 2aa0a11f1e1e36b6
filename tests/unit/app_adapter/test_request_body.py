"""The body of a request: it ends with its stream or its length, and never looks whole when it was broken off."""

import io
from collections import deque

import pytest
from werkzeug.wsgi import get_input_stream

from app_adapter.request_body import BodyBrokenOff, RequestBody


def body_of(*records: bytes, length: str | None = None) -> io.BufferedReader:
    """Return a body whose stream has these records. After the last one, the client leaves."""
    left = deque(records)

    def wait() -> None:
        if not left:
            raise EOFError
        raw.add_data(left.popleft())

    raw = RequestBody(wait)
    raw.expect(length)
    return io.BufferedReader(raw, 8)


@pytest.mark.parametrize("length", [None, "", "6", "x", "-1"])
def test_a_body_is_read_with_and_without_a_length(length: str | None) -> None:
    """A length that is no number counts as none."""
    assert body_of(b"abc", b"def", b"", length=length).read() == b"abcdef"


@pytest.mark.parametrize("length", [None, "13"])
def test_a_body_is_read_as_any_file(length: str | None) -> None:
    """Lines, parts of lines and parts of records come in order; at the end there is nothing, again and again."""
    body = body_of(b"on", b"e\ntwo\nth", b"ree", b"", length=length)

    assert [body.readline(), body.read(1), body.readline(2), body.readlines()] == [
        b"one\n",
        b"t",
        b"wo",
        [b"\n", b"three"],
    ]
    assert [body.read(), body.read(5), body.readline()] == [b"", b"", b""]


def test_a_body_ends_at_its_length() -> None:
    """Nothing beyond it is read, and nobody waits for the end of the stream."""
    assert body_of(b"abcdef", length="4").read() == b"abcd"
    assert body_of(b"ab", b"cdef", length="4").read() == b"abcd"
    assert body_of(length="0").read() == b""


@pytest.mark.parametrize(
    ("records", "length"),
    [((b"abc",), None), ((b"abc",), "5"), ((b"abc", b""), "5"), ((), "5"), ((b"",), "1")],
    ids=["chunked", "left", "short", "nothing", "an end at once"],
)
def test_a_body_that_was_broken_off_never_looks_whole(records: tuple[bytes, ...], length: str | None) -> None:
    """Reading to the end raises, each time."""
    body = body_of(*records, length=length)

    for _ in range(2):
        with pytest.raises(BodyBrokenOff):
            body.read()
    assert BodyBrokenOff("").code == 400


def test_what_came_before_can_be_read_in_pieces() -> None:
    """Only the piece that is missing raises."""
    body = body_of(b"abc")

    assert body.read(3) == b"abc"
    with pytest.raises(BodyBrokenOff):
        body.read(1)


@pytest.mark.parametrize("limit", [None, 100])
def test_werkzeug_reads_a_body_of_unknown_length(limit: int | None) -> None:
    """With a limit and without, and it hears of a body that was broken off."""
    environ = {"wsgi.input": body_of(b"abc", b"def", b""), "wsgi.input_terminated": True}
    assert get_input_stream(environ, max_content_length=limit).read() == b"abcdef"

    environ["wsgi.input"] = body_of(b"abc")
    with pytest.raises(BodyBrokenOff if limit is None else Exception, match="400"):
        get_input_stream(environ, max_content_length=limit).read()
