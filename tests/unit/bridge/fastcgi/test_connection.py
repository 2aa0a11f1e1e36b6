"""Exchanges over one connection: requests, replies, and reuse of the connection."""

import pytest

from bridge.fastcgi import (
    Connection,
    ConnectionState,
    EndedEarly,
    ErrorOutput,
    InvalidRequest,
    Limits,
    ProtocolError,
    ProtocolStatus,
    Refused,
    ReplyBody,
    ReplyEnd,
    ReplyHead,
)
from tests.unit.bridge.fastcgi.application import (
    GET_VALUES_RESULT,
    HEAD,
    OVERLOADED,
    REQUEST,
    STDERR,
    STDOUT,
    UNKNOWN_ROLE,
    end,
    one_by_one,
    read_request,
    received,
    record,
    reply,
    requested,
)

MADE = ReplyHead(201, "Made", (("Content-Type", "text/plain"),))
EXCHANGE = record(STDERR, b"note", padding=4) + reply(HEAD + b"body")
EVENTS = [ErrorOutput(b"note"), MADE, ReplyBody(b"body"), ReplyEnd(0, overlong=False)]


def test_reply_whole() -> None:
    """A reply that arrives in one piece is split into its events."""
    assert requested().receive(EXCHANGE) == EVENTS


def test_reply_one_byte_at_a_time() -> None:
    """A reply that arrives byte by byte gives the same events."""
    assert received(requested(), one_by_one(EXCHANGE)) == EVENTS


@pytest.mark.parametrize("at", range(1, len(EXCHANGE)))
def test_reply_in_two_pieces(at: int) -> None:
    """A reply that is split anywhere gives the same events."""
    assert received(requested(), [EXCHANGE[:at], EXCHANGE[at:]]) == EVENTS


def test_reply_with_a_tail() -> None:
    """Bytes after a reply in the same read do not change the reply, but they break the connection."""
    connection = requested()
    assert connection.receive(EXCHANGE + b"\x01") == EVENTS
    assert connection.state is ConnectionState.BROKEN
    assert not connection.reusable


def test_request_on_the_wire() -> None:
    """An application reads the same role, flag, parameters and body that the caller passed."""
    connection = Connection()
    params = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "5", "PATH_INFO": "/é"}
    sent = connection.begin_request(params, keep_connection=True)
    sent += connection.body(b"he") + connection.body(b"llo") + connection.end_of_body()
    request = read_request(sent)
    assert (request.id, request.role, request.flags) == (1, 1, 1)
    assert request.params == {name: value.encode() for name, value in params.items()}
    assert (request.body, request.params_ended, request.ended) == (b"hello", True, True)


def test_without_keep_connection() -> None:
    """Without `keep_connection` the flag is not set, and the connection is over after the reply."""
    connection = Connection()
    assert read_request(connection.begin_request(REQUEST, keep_connection=False)).flags == 0
    connection.end_of_body()
    connection.receive(EXCHANGE)
    assert connection.state is ConnectionState.OVER
    assert connection.receive(b"") == []


def test_kept_connection_serves_again() -> None:
    """After a whole reply with `keep_connection`, the next request uses the same connection and another id."""
    connection = requested()
    connection.receive(EXCHANGE)
    assert connection.reusable
    assert read_request(connection.begin_request(REQUEST, keep_connection=True)).id == 2
    connection.end_of_body()
    assert connection.receive(reply(HEAD, request_id=2)) == [MADE, ReplyEnd(0, overlong=False)]


def test_leftover_of_an_earlier_request_is_no_reply() -> None:
    """A second reply to an earlier request is not taken for the reply to the present request."""
    connection = requested()
    connection.receive(EXCHANGE)
    connection.begin_request(REQUEST, keep_connection=True)
    with pytest.raises(ProtocolError, match="STDERR for request 1: expected 2"):
        connection.receive(EXCHANGE)


def test_request_ids_start_again() -> None:
    """The id after 65,535 is 1, because 0 is not the id of a request."""
    connection = Connection()
    for request_id in range(1, 0x10000):
        connection.begin_request(REQUEST, keep_connection=True)
        connection.end_of_body()
        connection.receive(reply(b"A: b\n\n", request_id=request_id))
    assert read_request(connection.begin_request(REQUEST, keep_connection=True)).id == 1


def test_a_new_connection_is_not_reusable() -> None:
    """A connection without a finished request is not reusable."""
    assert Connection().reusable is False


@pytest.mark.parametrize("padding", [1, 255])
def test_padding_of_the_end_belongs_to_the_reply(padding: int) -> None:
    """A reply ends after the padding of END_REQUEST, so that no padding arrives while the connection is idle."""
    connection = requested()
    data = record(STDOUT, HEAD) + end(padding=padding)
    assert connection.receive(data[:-1]) == [MADE]
    assert connection.receive(data[-1:]) == [ReplyEnd(0, overlong=False)]
    assert connection.reusable


def test_exit_status() -> None:
    """The application's exit status is returned with all its 32 bits, and the connection stays reusable."""
    connection = requested()
    connection.receive(record(STDOUT, HEAD))
    assert connection.receive(end(app_status=0xFFFF_FFFE)) == [ReplyEnd(0xFFFF_FFFE, overlong=False)]
    assert connection.reusable


def test_overlong_reply_is_not_kept() -> None:
    """After a body that is longer than announced, the connection is not reused."""
    connection = requested()
    output = b"Content-Length: 1\n\nab"
    assert connection.receive(reply(output))[1:] == [ReplyBody(b"a"), ReplyEnd(0, overlong=True)]
    assert connection.state is ConnectionState.OVER


def test_reply_to_head() -> None:
    """A reply to HEAD may have a Content-Length and no body."""
    for method in ("HEAD", b"HEAD"):
        connection = Connection()
        connection.begin_request({"REQUEST_METHOD": method, "CONTENT_LENGTH": b"0"}, keep_connection=True)
        connection.end_of_body()
        assert connection.receive(reply(b"Content-Length: 9\n\n"))[-1] == ReplyEnd(0, overlong=False)


def test_reply_before_the_end_of_the_body() -> None:
    """If the reply ends before the request body is sent, the rest is not sent and the connection is not reused."""
    connection = Connection()
    connection.begin_request({"CONTENT_LENGTH": "5"}, keep_connection=True)
    connection.body(b"he")
    assert connection.receive(reply(HEAD))[-1] == ReplyEnd(0, overlong=False)
    assert connection.state is ConnectionState.OVER


def test_error_output_between_and_after_output() -> None:
    """Error output may arrive at any time before END_REQUEST."""
    pieces = [record(STDOUT, HEAD[:9]), record(STDERR, b"1"), record(STDOUT, HEAD[9:]), record(STDOUT)]
    assert received(requested(), [*pieces, record(STDERR, b"2"), end()]) == [
        ErrorOutput(b"1"),
        MADE,
        ErrorOutput(b"2"),
        ReplyEnd(0, overlong=False),
    ]


@pytest.mark.parametrize("status", [ProtocolStatus.CANT_MPX_CONN, ProtocolStatus.OVERLOADED])
def test_refusal_for_now(status: ProtocolStatus) -> None:
    """A server that cannot take the request now refuses it before any output, and the connection is over."""
    connection = requested()
    assert connection.receive(end(status)) == [Refused(status)]
    assert connection.state is ConnectionState.OVER


def test_refusal_of_the_role() -> None:
    """A server that serves no Responders refuses the request, even after it wrote to STDERR."""
    events = requested().receive(record(STDERR, b"no") + end(UNKNOWN_ROLE))
    assert events == [ErrorOutput(b"no"), Refused(ProtocolStatus.UNKNOWN_ROLE)]


@pytest.mark.parametrize("output", [HEAD, HEAD[:5]])
def test_refusal_after_output(output: bytes) -> None:
    """A refusal after output breaks the protocol, because the request has run."""
    with pytest.raises(ProtocolError, match="OVERLOADED after STDOUT"):
        requested().receive(record(STDOUT, output) + end(OVERLOADED))


def test_events_before_a_violation_are_kept() -> None:
    """The error carries the events of the same read that came before the violation."""
    with pytest.raises(ProtocolError) as raised:
        requested().receive(record(STDERR, b"why") + record(STDOUT, HEAD) + b"HTTP/1.1 500")
    assert raised.value.replies == (ErrorOutput(b"why"), MADE)


@pytest.mark.parametrize(
    ("pieces", "began"), [([], False), ([b"\x01"], True), ([record(STDERR, b"x", request_id=2)], True)]
)
def test_early_end_tells_if_a_reply_began(pieces: list[bytes], began: bool) -> None:
    """The error says if any byte arrived since the request began; if not, the server may have been recycled."""
    connection = requested()
    connection.receive(reply(HEAD))
    connection.begin_request(REQUEST, keep_connection=True)
    connection.end_of_body()
    received(connection, pieces)
    with pytest.raises(EndedEarly, match="the stream ended in state 'waiting'") as raised:
        connection.receive(b"")
    assert raised.value.began is began


def test_after_an_abort() -> None:
    """After ABORT_REQUEST further bytes are ignored, and the connection is not reusable."""
    connection = requested()
    sent = connection.abort()
    assert sent == bytes([1, 2, 0, 1, 0, 0, 0, 0])
    assert connection.receive(EXCHANGE) == []
    assert not connection.reusable


@pytest.mark.parametrize("value", ["", "-1", "1.0", " 1", "x", "²", "1" * 19, b"x", b"\xb2"])
def test_content_length_must_be_a_number(value: str | bytes) -> None:
    """An invalid CONTENT_LENGTH is refused before any byte is sent."""
    connection = Connection()
    with pytest.raises(InvalidRequest, match=r"CONTENT_LENGTH .* expected the number of bytes"):
        connection.begin_request({"CONTENT_LENGTH": value}, keep_connection=True)
    assert connection.state is ConnectionState.IDLE


def test_parameters_that_cannot_be_sent_change_nothing() -> None:
    """A request that is refused does not change the connection, which can send another request."""
    connection = Connection()
    with pytest.raises(InvalidRequest):
        connection.begin_request(REQUEST | {"bad": "x"}, keep_connection=True)
    assert read_request(connection.begin_request(REQUEST, keep_connection=True)).id == 1


def test_limits_hold_for_each_reply() -> None:
    """The limits count each reply separately."""
    connection = Connection(Limits(header=100, body=4, error_output=4))
    for request_id in (1, 2, 3):
        connection.begin_request(REQUEST, keep_connection=True)
        connection.end_of_body()
        connection.receive(
            record(STDERR, b"abcd", request_id=request_id) + reply(HEAD + b"abcd", request_id=request_id)
        )
    assert connection.reusable


def test_large_replies_are_handed_out_as_they_come() -> None:
    """A body and an error output of 16 MiB are returned as events, and no part of them is stored."""
    connection = requested()
    connection.receive(record(STDOUT, HEAD))
    for _ in range(256):
        assert len(connection.receive(record(STDOUT, bytes(65_535)) + record(STDERR, bytes(65_535)))) == 2
    assert connection._reader.pending == 0
    assert connection._request._reply._block == b""


def test_repr() -> None:
    """The representation shows the state and the request id, for logs and failed assertions."""
    assert repr(requested()) == "<Connection waiting, request 1>"


TINY = {
    "management": record(GET_VALUES_RESULT, request_id=0),
    "stderr without content": record(STDERR),
    "a byte of stderr": record(STDERR, b"x"),
    "a byte of the body": record(STDOUT, b"x"),
}


@pytest.mark.parametrize("what", TINY)
def test_a_reply_has_a_limited_number_of_tiny_records(what: str) -> None:
    """Each costs time, whatever its size. Large records have the limit of their bytes."""
    connection = Connection(Limits(small_records=10))
    connection.begin_request(REQUEST, keep_connection=True)
    connection.end_of_body()
    connection.receive(record(STDOUT, HEAD) + TINY[what] * 9 + record(STDERR, b"x" * 64) * 20)

    with pytest.raises(ProtocolError, match="more than 10 records of less than 64 bytes"):
        connection.receive(TINY[what] * 2)


def test_the_tiny_records_of_one_reply_count_for_no_other() -> None:
    """The next reply on the connection has a count of its own."""
    connection = Connection(Limits(small_records=10))
    for request_id in (1, 2, 3):
        connection.begin_request(REQUEST, keep_connection=True)
        connection.end_of_body()
        connection.receive(record(STDERR, b"x", request_id=request_id) * 6 + reply(HEAD, request_id=request_id))
    assert connection.reusable
