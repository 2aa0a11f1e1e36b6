"""Connections that share a memory: a reply that came before is recognised by its bytes, and nothing else changes."""

import pytest

from bridge.fastcgi import (
    Connection,
    ConnectionState,
    EndedEarly,
    NotFastCGI,
    ProtocolError,
    ReplyBody,
    ReplyEnd,
    ReplyHead,
    ReplyMemory,
    encode_request,
)
from tests.unit.bridge.fastcgi.application import GET_VALUES_RESULT, OVERLOADED, STDERR, STDOUT, end, record

HEAD = b"Status: 200 OK\r\nX: 1\r\n\r\n"
POST = encode_request({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "0"}, b"")


def reply(request_id: int = 1, output: bytes = HEAD + b"body") -> bytes:
    """Return a whole reply to the request of this id."""
    return (
        record(STDERR, b"said", request_id=request_id)
        + record(STDOUT, output, request_id=request_id, padding=3)
        + record(STDOUT, request_id=request_id)
        + end(request_id=request_id, padding=5)
    )


def asked(memory: ReplyMemory | None, *, keep: bool = True, request_id: int = 1) -> Connection:
    """Return a connection on which the request of this id is in flight."""
    connection = Connection(memory=memory)
    for number in range(1, request_id + 1):
        connection.send(POST, keep_connection=keep)
        if number < request_id:
            connection.receive(reply(number))
    return connection


@pytest.fixture
def memory() -> ReplyMemory:
    """Return a memory that has `reply()`."""
    memory = ReplyMemory()
    asked(memory).receive(reply())
    return memory


@pytest.mark.parametrize(("keep", "state"), [(True, ConnectionState.IDLE), (False, ConnectionState.OVER)])
def test_a_reply_that_comes_again_is_the_same_events(memory: ReplyMemory, keep: bool, state: ConnectionState) -> None:
    """The state of the connection is the same as without a memory."""
    connection = asked(memory, keep=keep)
    again = connection.receive(reply())
    assert again is asked(memory).receive(reply())
    assert list(again) == asked(None).receive(reply())
    assert connection.state is state
    assert connection.reusable is keep


def test_its_request_may_have_another_id(memory: ReplyMemory) -> None:
    """The ids of a kept connection count up."""
    connection = asked(memory, request_id=3)
    assert connection.receive(reply(3)) is asked(memory).receive(reply())
    connection.send(POST, keep_connection=True)
    with pytest.raises(ProtocolError, match="for request 3: expected 4"):
        connection.receive(reply(3))


@pytest.mark.parametrize("cut", range(1, len(reply())))
def test_a_reply_in_pieces_is_read(memory: ReplyMemory, cut: int) -> None:
    """It is a reply at its end, and not before."""
    connection = asked(memory)
    events = [*connection.receive(reply()[:cut])]
    assert ReplyEnd(0, overlong=False) not in events
    events += connection.receive(reply()[cut:])
    assert [event for event in events if isinstance(event, ReplyHead | ReplyEnd)] == [
        ReplyHead(200, "OK", (("X", "1"),)),
        ReplyEnd(0, overlong=False),
    ]
    assert connection.reusable


def test_the_beginning_of_a_known_reply_is_no_reply(memory: ReplyMemory) -> None:
    """The stream ends before the last byte."""
    connection = asked(memory)
    connection.receive(reply()[:-1])
    with pytest.raises(EndedEarly):
        connection.receive(b"")


@pytest.mark.parametrize("tail", [b"?", end(), reply(2)])
def test_bytes_after_a_known_reply_spoil_the_connection(memory: ReplyMemory, tail: bytes) -> None:
    """The reply counts."""
    connection = asked(memory)
    assert list(connection.receive(reply() + tail)) == asked(None).receive(reply())
    assert connection.state is ConnectionState.BROKEN


def test_another_reply_of_the_same_length_is_another_one(memory: ReplyMemory) -> None:
    """It is remembered instead."""
    other = asked(memory).receive(reply(output=HEAD.replace(b"200", b"500") + b"body"))
    assert isinstance(other[1], ReplyHead)
    assert other[1].status == 500
    assert list(asked(memory).receive(reply())) == asked(None).receive(reply())


@pytest.mark.parametrize(
    "once",
    [
        reply(output=b"Content-Length: 2\r\n\r\nbody"),
        record(GET_VALUES_RESULT, request_id=0) + reply(),
        reply(output=HEAD + bytes(3000)),
        end(OVERLOADED),
    ],
    ids=["longer than it says", "a record of no request", "long", "a refusal"],
)
def test_other_replies_are_not_remembered(memory: ReplyMemory, once: bytes) -> None:
    """They are read each time."""
    known = asked(memory).receive(reply())
    for _ in range(2):
        connection, other = asked(memory), asked(None)
        assert list(connection.receive(once)) == other.receive(once)
        assert connection.state is other.state
    assert asked(memory).receive(reply()) is known


def test_a_reply_to_head_is_read(memory: ReplyMemory) -> None:
    """It has no body, whatever its Content-Length."""
    head = encode_request({"REQUEST_METHOD": "HEAD", "CONTENT_LENGTH": "0"}, b"")
    data = reply(output=b"Content-Length: 4\r\n\r\n")
    connection = Connection(memory=memory)
    connection.send(head, keep_connection=True)
    assert connection.receive(data)[-1] == ReplyEnd(0, overlong=False)
    with pytest.raises(ProtocolError, match="expected Content-Length 4"):
        asked(memory).receive(data)


def test_a_server_whose_reply_was_known_speaks_fastcgi(memory: ReplyMemory) -> None:
    """A text in place of a later reply is a breach, and no sign of another protocol."""
    connection = asked(memory)
    connection.receive(reply())
    connection.send(POST, keep_connection=True)
    with pytest.raises(ProtocolError) as caught:
        connection.receive(b"HTTP/1.1 200 OK\r\n\r\n")
    assert not isinstance(caught.value, NotFastCGI)


def test_a_reply_without_a_memory_is_read_each_time() -> None:
    """The events are equal."""
    first, second = asked(None).receive(reply()), asked(None).receive(reply())
    assert first is not second
    assert first == second
    assert ReplyBody(b"body") in first
