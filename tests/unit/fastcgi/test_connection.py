"""Exchanges over one connection: requests out, replies in, and what may follow."""

import pytest

from bridge.fastcgi import (
    Connection,
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
    State,
)
from tests.unit.fastcgi.application import (
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
    """A reply that comes in one piece is taken apart into its events."""
    assert requested().receive(EXCHANGE) == EVENTS


def test_reply_one_byte_at_a_time() -> None:
    """A reply that comes byte by byte is the same."""
    assert received(requested(), one_by_one(EXCHANGE)) == EVENTS


@pytest.mark.parametrize("at", range(1, len(EXCHANGE)))
def test_reply_in_two_pieces(at: int) -> None:
    """Wherever a reply is split, it is the same."""
    assert received(requested(), [EXCHANGE[:at], EXCHANGE[at:]]) == EVENTS


def test_reply_with_a_tail() -> None:
    """Bytes behind a reply in the same read leave the reply as it is and spoil the connection."""
    connection = requested()
    assert connection.receive(EXCHANGE + b"\x01") == EVENTS
    assert connection.state is State.BROKEN
    assert not connection.reusable


def test_request_on_the_wire() -> None:
    """An application reads the role, the flag, the parameters and the body as they were given."""
    connection = Connection()
    params = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "5", "PATH_INFO": "/é"}
    sent = connection.begin_request(params, keep_connection=True)
    sent += connection.body(b"he") + connection.body(b"llo") + connection.end_of_body()
    request = read_request(sent)
    assert (request.id, request.role, request.flags) == (1, 1, 1)
    assert request.params == {name: value.encode() for name, value in params.items()}
    assert (request.body, request.params_ended, request.ended) == (b"hello", True, True)


def test_without_keep_connection() -> None:
    """The flag is not set, and the connection is over with its reply, then or when the stream ends."""
    connection = Connection()
    assert read_request(connection.begin_request(REQUEST, keep_connection=False)).flags == 0
    connection.end_of_body()
    connection.receive(EXCHANGE)
    assert connection.state is State.OVER
    assert connection.receive(b"") == []


def test_kept_connection_serves_again() -> None:
    """After a whole reply that was kept, the next request takes the same connection, under an id of its own."""
    connection = requested()
    connection.receive(EXCHANGE)
    assert connection.reusable
    assert read_request(connection.begin_request(REQUEST, keep_connection=True)).id == 2
    connection.end_of_body()
    assert connection.receive(reply(HEAD, request_id=2)) == [MADE, ReplyEnd(0, overlong=False)]


def test_leftover_of_an_earlier_request_is_no_reply() -> None:
    """A second reply to the request before is not taken for the reply to this one."""
    connection = requested()
    connection.receive(EXCHANGE)
    connection.begin_request(REQUEST, keep_connection=True)
    with pytest.raises(ProtocolError, match="STDERR for request 1: expected 2"):
        connection.receive(EXCHANGE)


def test_request_ids_start_again() -> None:
    """After id 65,535 comes 1, as 0 is not a request's."""
    connection, seen = Connection(), 0
    while seen < 0xFFFF:
        connection.begin_request(REQUEST, keep_connection=True)
        connection.end_of_body()
        seen += 1
        connection.receive(reply(b"A: b\n\n", request_id=seen))
    assert read_request(connection.begin_request(REQUEST, keep_connection=True)).id == 1


def test_a_new_connection_is_not_reusable() -> None:
    """A connection that has not been used yet cannot be used again."""
    assert Connection().reusable is False


@pytest.mark.parametrize("padding", [1, 255])
def test_padding_of_the_end_belongs_to_the_reply(padding: int) -> None:
    """A reply ends behind the padding of END_REQUEST, so that none of it comes while idle."""
    connection = requested()
    data = record(STDOUT, HEAD) + end(padding=padding)
    assert connection.receive(data[:-1]) == [MADE]
    assert connection.receive(data[-1:]) == [ReplyEnd(0, overlong=False)]
    assert connection.reusable


def test_exit_status() -> None:
    """The application's exit status is handed on, all 32 bits of it, and does not spoil the connection."""
    connection = requested()
    connection.receive(record(STDOUT, HEAD))
    assert connection.receive(end(app_status=0xFFFF_FFFE)) == [ReplyEnd(0xFFFF_FFFE, overlong=False)]
    assert connection.reusable


def test_overlong_reply_is_not_kept() -> None:
    """An application that sends more than it announced is not asked again."""
    connection = requested()
    output = b"Content-Length: 1\n\nab"
    assert connection.receive(reply(output))[1:] == [ReplyBody(b"a"), ReplyEnd(0, overlong=True)]
    assert connection.state is State.OVER


def test_reply_to_head() -> None:
    """A reply to HEAD may announce a length and send no body."""
    for method in ("HEAD", b"HEAD"):
        connection = Connection()
        connection.begin_request({"REQUEST_METHOD": method, "CONTENT_LENGTH": b"0"}, keep_connection=True)
        connection.end_of_body()
        assert connection.receive(reply(b"Content-Length: 9\n\n"))[-1] == ReplyEnd(0, overlong=False)


def test_reply_before_the_end_of_the_body() -> None:
    """A reply may end before the request has; its rest is not sent, and the connection is not kept."""
    connection = Connection()
    connection.begin_request({"CONTENT_LENGTH": "5"}, keep_connection=True)
    connection.body(b"he")
    assert connection.receive(reply(HEAD))[-1] == ReplyEnd(0, overlong=False)
    assert connection.state is State.OVER


def test_error_output_between_and_after_output() -> None:
    """Error output may come at any time before END_REQUEST."""
    pieces = [record(STDOUT, HEAD[:9]), record(STDERR, b"1"), record(STDOUT, HEAD[9:]), record(STDOUT)]
    assert received(requested(), [*pieces, record(STDERR, b"2"), end()]) == [
        ErrorOutput(b"1"),
        MADE,
        ErrorOutput(b"2"),
        ReplyEnd(0, overlong=False),
    ]


@pytest.mark.parametrize("status", [ProtocolStatus.CANT_MPX_CONN, ProtocolStatus.OVERLOADED])
def test_refusal_for_now(status: ProtocolStatus) -> None:
    """A server that cannot take the request now says so before any output."""
    connection = requested()
    assert connection.receive(end(status)) == [Refused(status)]
    assert connection.state is State.OVER


def test_refusal_for_ever() -> None:
    """A server that serves no Responders says so; what it wrote to STDERR is no output."""
    events = requested().receive(record(STDERR, b"no") + end(UNKNOWN_ROLE))
    assert events == [ErrorOutput(b"no"), Refused(ProtocolStatus.UNKNOWN_ROLE)]


@pytest.mark.parametrize("output", [HEAD, HEAD[:5]])
def test_refusal_after_output(output: bytes) -> None:
    """A refusal behind output is none: something has run."""
    with pytest.raises(ProtocolError, match="OVERLOADED after STDOUT"):
        requested().receive(record(STDOUT, output) + end(OVERLOADED))


def test_what_came_before_a_violation_is_kept() -> None:
    """The error carries the events of the same read that came before it."""
    with pytest.raises(ProtocolError) as raised:
        requested().receive(record(STDERR, b"why") + record(STDOUT, HEAD) + b"HTTP/1.1 500")
    assert raised.value.replies == (ErrorOutput(b"why"), MADE)


@pytest.mark.parametrize(
    ("pieces", "began"), [([], False), ([b"\x01"], True), ([record(STDERR, b"x", request_id=2)], True)]
)
def test_early_end_tells_whether_a_reply_began(pieces: list[bytes], began: bool) -> None:
    """Whether any byte had come since the request began decides whether the server may just have been recycled."""
    connection = requested()
    connection.receive(reply(HEAD))
    connection.begin_request(REQUEST, keep_connection=True)
    connection.end_of_body()
    received(connection, pieces)
    with pytest.raises(EndedEarly, match="the stream ended in state 'waiting'") as raised:
        connection.receive(b"")
    assert raised.value.began is began


def test_after_an_abort() -> None:
    """ABORT_REQUEST is sent; what still comes is passed over, and the connection is never reusable."""
    connection = requested()
    sent = connection.abort()
    assert sent == bytes([1, 2, 0, 1, 0, 0, 0, 0])
    assert connection.receive(EXCHANGE) == []
    assert not connection.reusable


@pytest.mark.parametrize("value", ["", "-1", "1.0", " 1", "x", "²", "1" * 19, b"x", b"\xb2"])
def test_content_length_must_be_a_number(value: str | bytes) -> None:
    """A CONTENT_LENGTH that no application can read is refused before anything is sent."""
    connection = Connection()
    with pytest.raises(InvalidRequest, match=r"CONTENT_LENGTH .* expected the number of bytes"):
        connection.begin_request({"CONTENT_LENGTH": value}, keep_connection=True)
    assert connection.state is State.IDLE


def test_parameters_that_cannot_be_sent_change_nothing() -> None:
    """A refused request leaves the connection as it was, ready for another."""
    connection = Connection()
    with pytest.raises(InvalidRequest):
        connection.begin_request(REQUEST | {"bad": "x"}, keep_connection=True)
    assert read_request(connection.begin_request(REQUEST, keep_connection=True)).id == 1


def test_limits_hold_for_each_reply() -> None:
    """What earlier replies took does not count for a later one."""
    connection = Connection(Limits(header=100, body=4, error_output=4))
    for request_id in (1, 2, 3):
        connection.begin_request(REQUEST, keep_connection=True)
        connection.end_of_body()
        connection.receive(
            record(STDERR, b"abcd", request_id=request_id) + reply(HEAD + b"abcd", request_id=request_id)
        )
    assert connection.reusable


def test_large_replies_are_handed_out_as_they_come() -> None:
    """Of 16 MiB of body and error output nothing is kept."""
    connection = requested()
    connection.receive(record(STDOUT, HEAD))
    for _ in range(256):
        assert len(connection.receive(record(STDOUT, bytes(65_535)) + record(STDERR, bytes(65_535)))) == 2
    assert connection._reader.pending == 0
    assert connection._reply._block == b""


def test_repr() -> None:
    """The state and the request are seen in a log or a failed assertion."""
    assert repr(requested()) == "<Connection waiting, request 1>"
