"""The reader of a child's connection: a request that has arrived whole, and records where it has not."""

import pytest

from app_adapter.request_reader import RequestReader, WholeRequest
from bridge.fastcgi import encode_request
from bridge.fastcgi.records import Record
from bridge.fastcgi.requests import encode_whole
from tests.unit.app_adapter.fcgi_client import ABORT, begin, params, record, request

CONTENT = params(CONTENT_LENGTH="3")[8:-8]
REQUEST: WholeRequest = (1, 1, 1, CONTENT, b"abc")
BEGIN, PARAMS, STDIN = 1, 4, 5


def padded(kind: int, content: bytes, padding: int = 7) -> bytes:
    """Return a record with padding."""
    plain = record(kind, content)
    return plain[:6] + bytes([padding]) + plain[7:] + b"\xff" * padding


def reader_of(*pieces: bytes) -> RequestReader:
    """Return a reader that was fed the pieces."""
    reader = RequestReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.parametrize("body", [b"", b"abc"])
def test_a_request_of_the_worker_is_whole(body: bytes) -> None:
    """A child would be slower without being wrong if it was not."""
    encoded = encode_request({"CONTENT_LENGTH": str(len(body))}, body)
    for keep in (False, True):
        found = reader_of(encode_whole(7, encoded, keep=keep)).next_request()
        assert found == (7, 1, keep, b"".join(encoded.params), body)


@pytest.mark.parametrize(
    "data",
    [
        request(b"abc"),
        b"".join(
            (
                *(begin(), padded(PARAMS, CONTENT), record(PARAMS)),
                *(padded(STDIN, b"abc"), padded(STDIN, b"")),
            )
        ),
    ],
    ids=["plain", "padded"],
)
def test_a_request_is_whole_with_its_last_byte(data: bytes) -> None:
    """Without one of its bytes it is none, and nothing is taken. What follows stays."""
    for end in range(len(data)):
        reader = reader_of(data[:end])
        assert reader.next_request() is None
        assert reader.pending == end
    reader = reader_of(data[:50], data[50:] + data + b"\x01")
    assert [reader.next_request(), reader.next_request(), reader.next_request()] == [REQUEST, REQUEST, None]
    assert reader.pending == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        record(9) + request(b"abc"),
        begin() + record(ABORT) + params() + record(STDIN),
        begin() + params() + record(ABORT) + record(STDIN),
        begin() + params() + record(STDIN, b"abc", request=2) + record(STDIN),
        begin() + record(STDIN, b"abc") + record(STDIN) + params(),
        begin() + params() + begin() + record(STDIN),
        record(BEGIN, b"short") + params() + record(STDIN),
        b"\x02" + request(b"abc")[1:],
        begin() + b"\x02" + (params() + record(STDIN))[1:],
        begin() + record(PARAMS) + record(STDIN),
        begin() + record(PARAMS, CONTENT[:9]) + record(PARAMS, CONTENT[9:]) + record(PARAMS) + record(STDIN),
        begin() + params() + record(STDIN, b"a") + record(STDIN, b"bc") + record(STDIN),
        padded(BEGIN, begin()[8:]) + params() + record(STDIN),
        begin() + record(PARAMS, CONTENT) + padded(PARAMS, b"") + record(STDIN),
        begin() + params() + record(STDIN, b"abc") + record(ABORT) + record(STDIN),
        begin() + params() + record(STDIN, b"abc") + record(STDIN, request=2),
    ],
    ids=range(17),
)
def test_anything_else_is_read_record_by_record(data: bytes) -> None:
    """What a record means there is decided where it is processed."""
    assert reader_of(data).next_request() is None


def test_records_and_requests_alternate() -> None:
    """A record that was taken alone is no part of a request."""
    reader = reader_of(request(b"abc") + record(9) + request(b"abc"))
    assert reader.next_request() == REQUEST
    assert reader.next_request() is None
    assert reader.next_record() == Record(9, 1, b"")
    assert reader.next_request() == REQUEST
    assert reader.next_record() is None
