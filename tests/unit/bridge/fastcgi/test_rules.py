"""The rules of FastCGI and of real servers, one test each: the duties of a client, and the data that it must reject."""

from collections.abc import Mapping

import pytest

from bridge.fastcgi import (
    Connection,
    ConnectionState,
    EndedEarly,
    IllegalMove,
    InvalidRequest,
    Limits,
    ProtocolError,
    ReplyBody,
    ReplyEnd,
)
from tests.unit.bridge.fastcgi.application import (
    END,
    GET_VALUES_RESULT,
    HEAD,
    REQUEST,
    STDERR,
    STDOUT,
    UNKNOWN_TYPE,
    end,
    pairs_of,
    read_request,
    record,
    records_of,
    reply,
    requested,
)


def rejected(data: bytes, match: str, *, connection: Connection | None = None) -> None:
    """Assert that `data` breaks the protocol, and that the connection accepts no further bytes and requests."""
    connection = connection or requested()
    with pytest.raises(ProtocolError, match=match):
        connection.receive(data)
    assert connection.state is ConnectionState.BROKEN
    assert not connection.reusable
    with pytest.raises(ProtocolError, match="in state 'broken'"):
        connection.receive(reply(HEAD))
    with pytest.raises(IllegalMove, match="in state 'broken': expected the connection to be closed"):
        connection.begin_request(REQUEST, keep_connection=True)


def begin(params: Mapping[str, str | bytes]) -> tuple[Connection, bytes]:
    connection = Connection()
    return connection, connection.begin_request(params, keep_connection=True)


# The duties of a client.


def test_records_hold_at_most_65528_bytes() -> None:
    """A body of any size is sent in records of at most 65,528 bytes of content."""
    data = bytes(range(256)) * 800
    connection, sent = begin({"CONTENT_LENGTH": str(len(data))})
    request = read_request(sent + connection.body(data) + connection.end_of_body())
    assert request.body == data
    assert request.largest == 65_528


def test_no_pair_is_split_over_two_records() -> None:
    """Each PARAMS record holds whole pairs."""
    _, sent = begin(REQUEST | {f"P{number}": "x" * 20_000 for number in range(10)})
    contents = [content for type_, _, content in records_of(sent) if type_ == 4]
    assert sum(len(list(pairs_of(content))) for content in contents) == 12


def test_body_is_held_to_its_content_length() -> None:
    """A body that is longer or shorter than CONTENT_LENGTH, and a request without one, are refused."""
    connection, _ = begin({"CONTENT_LENGTH": "2"})
    with pytest.raises(InvalidRequest, match="3 bytes of body: expected at most 2"):
        connection.body(b"abc")
    connection.body(b"a")
    with pytest.raises(InvalidRequest, match="expected 1 more bytes"):
        connection.end_of_body()
    with pytest.raises(InvalidRequest, match="CONTENT_LENGTH '': expected"):
        begin({})


def test_empty_body_has_its_end() -> None:
    """An empty body is one empty STDIN record; an empty piece of a body is not sent, because that would end it."""
    connection, _ = begin(REQUEST)
    assert connection.body(b"") == b""
    assert connection.end_of_body() == bytes([1, 5, 0, 1, 0, 0, 0, 0])


def test_end_of_stdout_is_not_required() -> None:
    """END_REQUEST ends a reply without an end of STDOUT, and the connection stays reusable."""
    connection = requested()
    assert connection.receive(record(STDOUT, HEAD + b"x") + end())[1:] == [ReplyBody(b"x"), ReplyEnd(0, False)]
    assert connection.reusable


def test_one_request_in_flight() -> None:
    """A second request is refused until the reply to the first has ended."""
    connection = requested()
    with pytest.raises(IllegalMove, match="begin request in state 'waiting'"):
        connection.begin_request(REQUEST, keep_connection=True)


def test_output_may_start_before_the_body_has_ended() -> None:
    """Output that arrives while the body is being sent is read at once."""
    connection, _ = begin({"CONTENT_LENGTH": "2"})
    connection.body(b"a")
    assert len(connection.receive(record(STDOUT, HEAD + b"early"))) == 2
    connection.body(b"b")
    connection.end_of_body()
    connection.receive(end())
    assert connection.reusable


def test_no_reuse_after_an_abort() -> None:
    """After an abort the connection is not reusable, even if a whole reply arrives."""
    connection = requested()
    connection.abort()
    assert connection.receive(reply(HEAD)) == []
    assert not connection.reusable
    with pytest.raises(IllegalMove, match="in state 'aborted'"):
        connection.begin_request(REQUEST, keep_connection=True)


def test_early_end_on_a_reused_connection_is_marked() -> None:
    """The error says that no byte of the reply arrived, because the server may have been recycled."""
    connection = requested()
    connection.receive(reply(HEAD))
    connection.begin_request(REQUEST, keep_connection=True)
    with pytest.raises(EndedEarly) as raised:
        connection.receive(b"")
    assert raised.value.began is False


# Data that a client must reject.


@pytest.mark.parametrize("version", [0, 2, 255])
def test_reject_other_versions(version: int) -> None:
    """A record of a version other than 1 is rejected."""
    rejected(record(STDOUT, HEAD, version=version), f"version {version}: expected version 1")


@pytest.mark.parametrize("type_", [0, 1, 2, 4, 5, 8, 9, 12, 255])
def test_reject_types_no_application_sends(type_: int) -> None:
    """A record of a type other than 3, 6, 7, 10 and 11 is rejected."""
    rejected(record(type_), rf"type {type_}: expected one of \[3, 6, 7, 10, 11\]")


@pytest.mark.parametrize("type_", [END, STDOUT, STDERR])
def test_reject_id_0_on_an_application_record(type_: int) -> None:
    """An application record with id 0, which only management records have, is rejected."""
    rejected(record(type_, bytes(8), request_id=0), "for request 0: expected 1")


@pytest.mark.parametrize("type_", [GET_VALUES_RESULT, UNKNOWN_TYPE])
def test_reject_a_management_record_of_a_request(type_: int) -> None:
    """A management record with the id of a request is rejected."""
    rejected(record(type_, bytes(8)), "a management record for request 1: expected 0")


@pytest.mark.parametrize("type_", [END, STDOUT, STDERR])
def test_reject_an_unknown_id(type_: int) -> None:
    """A record with the id of no request, or of an earlier one, is rejected."""
    rejected(record(type_, bytes(8), request_id=2), "for request 2: expected 1")


@pytest.mark.parametrize("length", [0, 7, 9, 16])
def test_reject_an_end_of_another_length(length: int) -> None:
    """An END_REQUEST whose length is not 8 is rejected."""
    rejected(record(STDOUT, HEAD) + record(END, bytes(length)), f"END_REQUEST of {length} bytes: expected 8")


@pytest.mark.parametrize("status", [4, 255])
def test_reject_an_end_of_unknown_status(status: int) -> None:
    """An END_REQUEST with an unknown protocol status is rejected."""
    rejected(record(STDOUT, HEAD) + end(status), f"protocol status {status}: expected 0 to 3")


@pytest.mark.parametrize("more", [record(STDOUT, b"x"), record(STDOUT)])
def test_reject_stdout_after_its_end(more: bytes) -> None:
    """STDOUT after its end, and a second end of it, are rejected."""
    rejected(record(STDOUT, HEAD) + record(STDOUT) + more, "STDOUT in state 'replied'")


@pytest.mark.parametrize("before", [b"", record(STDERR, b"x"), record(STDOUT, HEAD[:-1])])
def test_reject_an_end_before_a_whole_header_block(before: bytes) -> None:
    """An END_REQUEST before a whole header block is rejected."""
    rejected(before + end(), "END_REQUEST in state 'waiting'")


@pytest.mark.parametrize("before", [b"", record(STDOUT, HEAD[:-1])])
def test_reject_an_end_of_stdout_before_a_whole_header_block(before: bytes) -> None:
    """An end of STDOUT before a whole header block is rejected."""
    rejected(before + record(STDOUT), "end of STDOUT in state 'waiting'")


@pytest.mark.parametrize("data", [b"\x01", record(STDOUT, HEAD), record(STDOUT, HEAD + b"x") + record(STDOUT)])
def test_reject_end_of_stream_before_end(data: bytes) -> None:
    """An end of the stream before END_REQUEST, within a record or between records, is rejected."""
    connection = requested()
    connection.receive(data)
    rejected(b"", "the stream ended", connection=connection)


@pytest.mark.parametrize("keep_connection", [True, False])
def test_reject_bytes_while_idle(keep_connection: bool) -> None:
    """Bytes after a whole reply are rejected, even if they are a valid record."""
    for data in (b"\0", record(STDERR, b"late"), record(GET_VALUES_RESULT, request_id=0)):
        connection = requested(keep_connection=keep_connection)
        connection.receive(reply(HEAD))
        rejected(data, "bytes in state .* expected none", connection=connection)


def test_reject_bytes_before_the_first_request() -> None:
    """Bytes before the first request are rejected."""
    rejected(b"SSH-2.0", "7 bytes in state 'idle': expected none", connection=Connection())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (record(STDOUT, b"A: " + b"b" * 300), "a header block of more than 100 bytes"),
        (record(STDOUT, HEAD + b"x" * 300), "a body of more than 100 bytes"),
        (record(STDERR, b"x" * 300), "error output of more than 100 bytes"),
    ],
)
def test_reject_data_above_its_limit(data: bytes, message: str) -> None:
    """A header block, a body or an error output above its limit is rejected."""
    connection = Connection(Limits(header=100, body=100, error_output=100))
    connection.begin_request(REQUEST, keep_connection=True)
    rejected(data, message, connection=connection)


def test_reject_a_body_shorter_than_announced() -> None:
    """A body that is shorter than its Content-Length is rejected at END_REQUEST."""
    rejected(reply(b"Content-Length: 2\n\nx"), "a body of 1 bytes: expected Content-Length 2")


def test_cut_and_flag_a_body_longer_than_announced() -> None:
    """A body that is longer than its Content-Length is cut there and flagged as overlong."""
    assert requested().receive(reply(b"Content-Length: 1\n\nxy"))[1:] == [ReplyBody(b"x"), ReplyEnd(0, overlong=True)]
