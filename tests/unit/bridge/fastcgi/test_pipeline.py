"""Several whole requests in flight on one connection, answered in order."""

import pytest

from bridge.fastcgi import ErrorOutput, ProtocolError, ReplyBody, ReplyEnd, ReplyHead, encode_request
from bridge.fastcgi.pipeline import Pipeline
from bridge.fastcgi.reply_events import ReplyEvent
from tests.unit.bridge.fastcgi.application import STDERR, STDOUT, end, record

REQUEST = encode_request({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "4"}, b"data")


def reply(number: int) -> bytes:
    """Return a whole reply to the request of this number."""
    head = b"Status: 200 OK\r\n\r\nbody"
    return (
        record(STDERR, b"said", request_id=number)
        + record(STDOUT, head, request_id=number)
        + record(STDOUT, b"", request_id=number)
        + end(request_id=number)
    )


def events(number: int) -> list[tuple[int, ReplyEvent]]:
    """Return the events of that reply."""
    of_one = (ErrorOutput(b"said"), ReplyHead(200, "OK", ()), ReplyBody(b"body"), ReplyEnd(0, overlong=False))
    return [(number, event) for event in of_one]


def received(pipeline: Pipeline, data: bytes) -> list[tuple[int, ReplyEvent]]:
    """Return each event in these bytes with the number of its request."""
    return [(number, event) for number, events in pipeline.receive(data) for event in events]


def sent(count: int) -> Pipeline:
    """Return a pipeline with requests in flight."""
    pipeline = Pipeline()
    assert [pipeline.send(REQUEST)[0] for _ in range(count)] == list(range(1, count + 1))
    return pipeline


def test_replies_in_one_piece() -> None:
    """Each event comes with the number of its request."""
    pipeline = sent(3)
    assert received(pipeline, reply(1) + reply(2) + reply(3)) == events(1) + events(2) + events(3)
    assert pipeline.first is None


def test_replies_byte_by_byte() -> None:
    """The events are the same."""
    pipeline = sent(2)
    got = [event for byte in reply(1) + reply(2) for event in received(pipeline, bytes([byte]))]
    assert got == events(1) + events(2)


@pytest.mark.parametrize("cut", range(1, 2 * len(reply(1)), 5))
def test_a_reply_that_comes_again_is_read_as_the_first_one_was(cut: int) -> None:
    """Also if the bytes come in pieces, and other replies between them."""
    pipeline = sent(6)
    other = record(STDOUT, b"Status: 500 Error\r\n\r\n", request_id=3) + end(request_id=3)
    assert received(pipeline, reply(1)) == events(1)

    data = reply(2) + other + reply(4) + reply(5) + reply(6)
    got = received(pipeline, data[:cut]) + received(pipeline, data[cut:])

    of_other = [(3, ReplyHead(500, "Error", ())), (3, ReplyEnd(0, overlong=False))]
    assert got == events(2) + of_other + events(4) + events(5) + events(6)
    assert pipeline.first is None


def test_a_reply_that_comes_again_has_the_same_events() -> None:
    """Whoever has read them once need not read them again."""
    pipeline = sent(3)
    received(pipeline, reply(1))

    (_, second), (_, third) = pipeline.receive(reply(2) + reply(3))

    assert second is third


def test_a_reply_without_a_body_is_no_measure_for_others() -> None:
    """The reply to a HEAD request has a Content-Length, and no body."""
    pipeline = Pipeline()
    head = record(STDOUT, b"Content-Length: 4\r\n\r\n", request_id=1) + end(request_id=1)
    for method in ("HEAD", "POST"):
        pipeline.send(encode_request({"REQUEST_METHOD": method, "CONTENT_LENGTH": "0"}, b""))
    received(pipeline, head)

    with pytest.raises(ProtocolError, match="expected Content-Length 4"):
        received(pipeline, head.replace(b"\0\1", b"\0\2"))


def test_a_withdrawn_request_is_not_awaited() -> None:
    """The replies to the others come in their order."""
    pipeline = sent(4)
    assert received(pipeline, reply(1)) == events(1)
    pipeline.withdraw([3])
    assert received(pipeline, reply(2) + reply(4)) == events(2) + events(4)


@pytest.mark.parametrize("data", [reply(2), reply(1) + reply(1), b"HTTP/1.1 400 Bad\r\n\r\n", end(request_id=1)])
def test_what_no_application_may_send_is_an_error(data: bytes) -> None:
    """A reply out of turn, a second reply, another protocol, and an end without a head. What came before it counts."""
    pipeline = sent(2)
    got: list[tuple[int, ReplyEvent]] = []
    with pytest.raises(ProtocolError):
        for number, of_one in pipeline.receive(data):
            got += [(number, event) for event in of_one]
    assert got in ([], events(1))


def test_bytes_while_nothing_is_in_flight_are_an_error() -> None:
    """No request can have caused them."""
    with pytest.raises(ProtocolError, match="no request is in flight"):
        list(Pipeline().receive(reply(1)))


def test_the_state_at_the_end_of_the_stream_is_told() -> None:
    """It goes into the error of the event that ran."""
    assert Pipeline().end_of_stream() == "the stream ended"
    assert "'waiting'" in sent(1).end_of_stream()
