"""The application's side of FastCGI for tests: functions that write records and read requests.

It shares no code with `bridge.fastcgi`, so that a mistake there is not repeated here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bridge.fastcgi import Connection, ReplyEvent

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
GET_VALUES_RESULT, UNKNOWN_TYPE = 10, 11
COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE = range(4)

HEAD = b"Status: 201 Made\r\nContent-Type: text/plain\r\n\r\n"
REQUEST = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "0"}


def record(type_: int, content: bytes = b"", *, request_id: int = 1, padding: int = 0, version: int = 1) -> bytes:
    """Return one record."""
    header = bytes([version, type_]) + request_id.to_bytes(2, "big") + len(content).to_bytes(2, "big")
    return header + bytes([padding, 0]) + content + b"\xff" * padding


def end(status: int = COMPLETE, *, app_status: int = 0, request_id: int = 1, padding: int = 0) -> bytes:
    """Return an END_REQUEST record."""
    content = app_status.to_bytes(4, "big") + bytes([status, 0, 0, 0])
    return record(END, content, request_id=request_id, padding=padding)


def reply(output: bytes, *, request_id: int = 1) -> bytes:
    """Return a whole reply with `output` in one STDOUT record."""
    records = (record(STDOUT, output, request_id=request_id), record(STDOUT, request_id=request_id))
    return b"".join(records) + end(request_id=request_id)


def requested(*, keep_connection: bool = True) -> Connection:
    """Return a connection on which a request without a body was sent whole."""
    connection = Connection()
    connection.begin_request(REQUEST, keep_connection=keep_connection)
    connection.end_of_body()
    return connection


def received(connection: Connection, pieces: Iterable[bytes]) -> list[ReplyEvent]:
    """Pass the pieces to the connection one after the other, and return all reply events."""
    return [event for piece in pieces for event in connection.receive(piece)]


def one_by_one(data: bytes) -> Iterator[bytes]:
    """Yield each byte of `data` alone."""
    return (data[at : at + 1] for at in range(len(data)))


@dataclass
class Request:
    """A request as an application reads it."""

    id: int = 0
    role: int = 0
    flags: int = 0
    params: dict[str, bytes] = field(default_factory=dict)
    body: bytes = b""
    params_ended: bool = False
    ended: bool = False
    aborted: bool = False
    largest: int = 0
    """The length of the largest content of a record."""


def read_request(data: bytes) -> Request:
    """Return the request in `data`. Each PARAMS record is decoded alone, because pairs may not be split."""
    request = Request()
    for type_, request_id, content in records_of(data):
        request.largest = max(request.largest, len(content))
        if type_ == BEGIN:
            assert request.id == 0 and len(content) == 8
            request.id, request.role, request.flags = request_id, int.from_bytes(content[:2], "big"), content[2]
        assert request_id == request.id
        if type_ == PARAMS:
            assert not request.params_ended
            request.params_ended = not content
            request.params.update(pairs_of(content))
        elif type_ == STDIN:
            assert request.params_ended and not request.ended
            request.ended = not content
            request.body += content
        elif type_ == ABORT:
            request.aborted = True
    return request


def records_of(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the type, request id and content of each record in `data`. Fail if the last record is not whole."""
    at = 0
    while at < len(data):
        assert data[at] == 1
        length = int.from_bytes(data[at + 4 : at + 6], "big")
        after = at + 8 + length
        assert after + data[at + 6] <= len(data)
        yield data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big"), data[at + 8 : after]
        at = after + data[at + 6]


def pairs_of(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name-value pairs in `content`. Fail if the last pair is not whole."""
    at = 0
    while at < len(content):
        lengths = []
        for _ in range(2):
            long = content[at] >= 0x80
            lengths.append(int.from_bytes(content[at : at + 4], "big") & 0x7FFF_FFFF if long else content[at])
            at += 4 if long else 1
        name, value = content[at : at + lengths[0]], content[at + lengths[0] : at + sum(lengths)]
        at += sum(lengths)
        assert at <= len(content)
        yield name.decode("ascii"), value
