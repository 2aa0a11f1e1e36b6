"""Reads the records of a child's connection, and at once a request that has arrived whole, which most do: without a
record object for each of its parts."""

import struct
from typing import NamedTuple

from bridge.fastcgi.records import HEADER, VERSION, RecordReader, RecordType

_BEGIN = struct.Struct(">BBHHBxHB5x")
_START_OF_BEGIN = struct.pack(">BB", VERSION, RecordType.BEGIN_REQUEST)
_PARAMS, _STDIN = int(RecordType.PARAMS), int(RecordType.STDIN)


class WholeRequest(NamedTuple):
    """A request of which all records have arrived."""

    request_id: int
    role: int
    flags: int
    params: bytes
    """The content of its PARAMS records."""
    body: bytes
    """The content of its STDIN records."""


class RequestReader(RecordReader):
    """A reader of records of all types, and of whole requests."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(types=None)

    def next_request(self) -> WholeRequest | None:
        """Return the next request if all its records have arrived and nothing else is between them. Else return None;
        `next_record` then returns what is there, or refuses it."""
        data, at = self._data, self._at
        if not data.startswith(_START_OF_BEGIN, at) or len(data) < at + _BEGIN.size:
            return None
        _, _, request_id, length, padding, role, flags = _BEGIN.unpack_from(data, at)
        if length != _BEGIN.size - HEADER.size:
            return None
        params, at = _stream(data, at + _BEGIN.size + padding, _PARAMS, request_id)
        body, at = _stream(data, at, _STDIN, request_id)
        if at > len(data):
            return None
        self._at, self._fresh = at, False
        return WholeRequest(request_id, role, flags, params, body)


def _stream(data: bytes, at: int, expected: int, request_id: int) -> tuple[bytes, int]:
    """Return the content of the records of a stream up to the empty record that ends it, and the place after that. The
    place is beyond the data if they are not all there, or if another record is between them."""
    content = b""
    while at + HEADER.size <= len(data):
        version, type_, number, length, padding = HEADER.unpack_from(data, at)
        if type_ != expected or number != request_id or version != VERSION:
            break
        begin = at + HEADER.size
        at = begin + length + padding
        if not length:
            return content, at
        content = content + data[begin : begin + length] if content else data[begin : begin + length]
    return b"", len(data) + 1
