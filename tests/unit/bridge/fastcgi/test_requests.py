"""Requests that are encoded before a connection is chosen."""

import pytest

from bridge.fastcgi import Connection, InvalidRequest, ReplyHead, encode_request
from tests.unit.bridge.fastcgi.application import STDOUT, end, record

PARAMS = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "4", "HTTP_X": "y" * 200}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("body", [b"", b"data", bytes(200_000)])
def test_an_encoded_request_is_sent_like_a_request_in_pieces(body: bytes, keep: bool) -> None:
    """An encoded request has the same bytes on the wire as a request that is sent in pieces."""
    params = PARAMS | {"CONTENT_LENGTH": str(len(body))}
    pieces = Connection()
    sent = pieces.begin_request(params, keep_connection=keep) + pieces.body(body) + pieces.end_of_body()
    assert Connection().send(encode_request(params, body), keep_connection=keep) == sent


def test_a_request_can_be_sent_again() -> None:
    """A request can be sent again over the same connection, with another id, and over another connection."""
    request, connection = encode_request(PARAMS, b"data"), Connection()
    first = connection.send(request, keep_connection=True)
    connection.receive(record(STDOUT, b"Status: 200\r\n\r\n") + end())
    assert connection.send(request, keep_connection=True)[:4] == first[:3] + b"\x02"
    assert Connection().send(request, keep_connection=True) == first


def test_the_reply_to_a_head_has_no_body() -> None:
    """The reply to a HEAD request may have a Content-Length and no body."""
    connection = Connection()
    head = encode_request({"REQUEST_METHOD": "HEAD", "CONTENT_LENGTH": "0"}, b"")
    connection.send(head, keep_connection=True)
    events = connection.receive(record(STDOUT, b"Content-Length: 5\r\n\r\n") + end())
    assert isinstance(events[0], ReplyHead)
    assert connection.reusable


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"CONTENT_LENGTH": "3"}, "a body of 4 bytes: expected 3"),
        ({"CONTENT_LENGTH": "many"}, "expected the number of bytes"),
        ({"HTTP_CE_ID": "i" * 70_000}, "HTTP_CE_ID takes 70015 bytes"),
        ({"HTTP_CE_ID": "\ud800"}, "HTTP_CE_ID cannot be sent as UTF-8"),
        ({"http_ce_id": "1"}, "parameter name 'http_ce_id'"),
    ],
)
def test_a_request_that_cannot_be_sent_is_refused_at_once(changed: dict[str, str], message: str) -> None:
    """Encoding refuses invalid parameters, and the error names the parameter."""
    with pytest.raises(InvalidRequest, match=message):
        encode_request(PARAMS | changed, b"data")
