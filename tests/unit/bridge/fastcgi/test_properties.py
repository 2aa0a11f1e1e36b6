"""Properties: encoded data decodes, the size of the pieces has no effect, and any bytes give replies or errors."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.fastcgi import (
    Connection,
    ConnectionState,
    ErrorOutput,
    Limits,
    ProtocolError,
    ReplyBody,
    ReplyEnd,
    ReplyEvent,
    ReplyHead,
)
from tests.unit.bridge.fastcgi.application import BEGIN, STDERR, STDOUT, end, read_request, record, requested

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,200}", fullmatch=True).filter(lambda name: name != "CONTENT_LENGTH")
VALUES = st.text(max_size=300) | st.binary(max_size=300) | st.integers(0, 60_000).map(bytes)
CONTENTS = st.lists(st.binary(min_size=1, max_size=200), max_size=6)
FIELDS = st.lists(
    st.tuples(st.from_regex(r"X-[a-z]{1,8}", fullmatch=True), st.from_regex(r"[!-~]{0,20}", fullmatch=True))
)
CUTS = st.lists(st.integers(0, 3000), max_size=12)
STREAM = st.tuples(
    st.sampled_from([0, 1, 2]), st.sampled_from(range(13)), st.integers(0, 3), st.binary(max_size=40), st.integers(0, 9)
)
ROOMY = Limits()


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return `data` cut at the given places, without empty pieces, which would mean the end of the stream."""
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[start:stop] for start, stop in pairwise(places)]


def outcome(data: list[bytes], limits: Limits = ROOMY) -> tuple[list[ReplyEvent], str | None]:
    """Return all events, and the error that ended them."""
    connection = Connection(limits)
    connection.begin_request({"CONTENT_LENGTH": "0"}, keep_connection=True)
    connection.end_of_body()
    events: list[ReplyEvent] = []
    try:
        for piece in data:
            events += connection.receive(piece)
            assert connection._reader.pending < 8 + 65_535 + 255
            assert len(connection._request._reply._block) <= limits.header
        events += connection.receive(b"")
    except ProtocolError as error:
        assert connection.state is ConnectionState.BROKEN
        return [*events, *error.replies], str(error)
    return events, None


@given(st.dictionaries(NAMES, VALUES, max_size=8), CONTENTS, st.booleans())
def test_encoded_requests_decode(params: dict[str, str | bytes], body: list[bytes], keep: bool) -> None:
    """An application reads the same parameters and body that the caller passed."""
    connection = Connection()
    params["CONTENT_LENGTH"] = str(len(b"".join(body)))
    sent = connection.begin_request(params, keep_connection=keep)
    sent += b"".join(map(connection.body, body)) + connection.end_of_body()
    request = read_request(sent)
    assert request.params == {k: v.encode() if isinstance(v, str) else v for k, v in params.items()}
    assert request.body == b"".join(body)
    assert request.ended and request.flags == keep and request.largest <= 65_528


@given(
    status=st.integers(100, 999),
    fields=FIELDS,
    body=st.binary(max_size=300),
    errors=CONTENTS,
    newline=st.sampled_from([b"\n", b"\r\n"]),
    records=CUTS,
    cuts=CUTS,
    padding=st.integers(0, 255),
)
def test_encoded_replies_decode(
    status: int,
    fields: list[tuple[str, str]],
    body: bytes,
    errors: list[bytes],
    newline: bytes,
    records: list[int],
    cuts: list[int],
    padding: int,
) -> None:
    """A reply is read correctly with any records, padding and error output, and in any pieces."""
    lines = [f"Status: {status} Fine", *(f"{name}: {value}" for name, value in fields)]
    output = newline.join(line.encode() for line in [*lines, "", ""]) + body
    data = b"".join(record(STDERR, content, padding=padding) for content in errors)
    data += b"".join(record(STDOUT, content, padding=padding) for content in pieces(output, records)) + end()
    events, error = outcome(pieces(data, cuts))
    assert error is None
    assert [event for event in events if isinstance(event, ReplyHead)] == [ReplyHead(status, "Fine", tuple(fields))]
    assert b"".join(event.data for event in events if isinstance(event, ReplyBody)) == body
    assert [event.data for event in events if isinstance(event, ErrorOutput)] == errors
    assert events[-1] == ReplyEnd(0, overlong=False)


@given(st.lists(st.binary(min_size=1, max_size=100), max_size=20))
def test_any_bytes(data: list[bytes]) -> None:
    """Any bytes end in a whole reply or in `ProtocolError`, and the buffers stay small."""
    events, error = outcome(data)
    assert error is not None or isinstance(events[-1], ReplyEnd)


@settings(max_examples=500)
@given(st.lists(STREAM, max_size=12), CUTS)
def test_any_records(records: list[tuple[int, int, int, bytes, int]], cuts: list[int]) -> None:
    """Records of any version, type, id and content, in any pieces, raise no error but `ProtocolError`."""
    stream = b"".join(
        record(type_, content, request_id=request_id, padding=padding, version=version)
        for version, type_, request_id, content, padding in records
    )
    outcome(pieces(stream, cuts), Limits(header=60, body=60, error_output=60))


@settings(max_examples=300)
@given(st.data())
def test_damaged_replies(data: st.DataObject) -> None:
    """A reply with changed, missing or additional bytes gives the same events and error in any pieces."""
    whole = bytearray(record(STDERR, b"e") + record(STDOUT, b"Content-Length: 2\r\n\r\nab", padding=2) + end())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    stream = bytes(whole)
    events, error = outcome([stream])
    in_pieces, error_in_pieces = outcome(pieces(stream, data.draw(CUTS)))
    assert in_pieces == events
    # Bytes after a whole reply break the connection: without an error in the same read, with an error in a later read.
    if not any(isinstance(event, ReplyEnd) for event in events):
        assert error_in_pieces == error


@given(st.binary(max_size=100))
def test_a_request_is_no_reply(tail: bytes) -> None:
    """A record that only a web server sends is rejected as a reply."""
    _, error = outcome([record(BEGIN, bytes(8)) + tail])
    assert error is not None


@given(st.binary(min_size=1, max_size=300))
def test_nothing_is_taken_after_an_abort(data: bytes) -> None:
    """Any bytes after an abort are ignored."""
    connection = requested()
    connection.abort()
    assert connection.receive(data) == []
