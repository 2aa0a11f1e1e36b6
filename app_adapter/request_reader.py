"""Reads the records of a child's connection, and at once a small request that has arrived whole, which most do: without
a record object for each of its parts."""

import struct

from bridge.fastcgi.records import VERSION, RecordReader, RecordType

# A header is its version and type (H), request id (H), length (H) and padding (B), or without content its length and
# padding together (I).
_BEGINNING = struct.Struct(">HHIHB5xHHHBx")
"""BEGIN_REQUEST, and the header of PARAMS."""
_MIDDLE = struct.Struct(">HHIHHHBx")
"""The end of PARAMS, and the header of STDIN."""
_END = struct.Struct(">HHHBx")
"""The end of STDIN."""
_OF_VERSION = VERSION << 8
_BEGIN, _PARAMS, _STDIN = (
    _OF_VERSION | int(each) for each in (RecordType.BEGIN_REQUEST, RecordType.PARAMS, RecordType.STDIN)
)
_BEGIN_LENGTH = 8 << 16


WholeRequest = tuple[int, int, int, bytes, bytes]
"""A request of which all records have arrived: its id, role and flags, its encoded parameters, and its body."""


class RequestReader(RecordReader):
    """A reader of records of all types, and of whole requests."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(types=None)

    def next_request(self) -> WholeRequest | None:
        """Return the next request if all its records have arrived, one with its parameters and at most one with its
        body, and nothing else is between them. Else return None; `next_record` then returns what is there, or refuses
        it."""
        data, at = self._data, self._at
        params_at = at + _BEGINNING.size
        if len(data) < params_at:
            return None
        kind, number, rest, role, flags, kind_2, number_2, length, padding = _BEGINNING.unpack_from(data, at)
        if kind != _BEGIN or rest != _BEGIN_LENGTH or kind_2 != _PARAMS or number_2 != number or not length:
            return None
        body, end = _body(data, params_at + length + padding, number)
        if end > len(data):
            return None
        self._at, self._fresh = end, False
        return number, role, flags, data[params_at : params_at + length], body


def _body(data: bytes, at: int, request_id: int) -> tuple[bytes, int]:
    """Return the body of a request whose parameters end at this place, and the place after the request. The place is
    beyond the data if not all is there, or if another record is between."""
    begin, beyond = at + _MIDDLE.size, len(data) + 1
    if len(data) < begin:
        return b"", beyond
    kind, number, rest, kind_2, number_2, length, padding = _MIDDLE.unpack_from(data, at)
    if kind != _PARAMS or number != request_id or rest or kind_2 != _STDIN or number_2 != request_id:
        return b"", beyond
    at = begin + length + padding
    if not length:
        return b"", at
    if len(data) < at + _END.size:
        return b"", beyond
    kind, number, end_length, end_padding = _END.unpack_from(data, at)
    if kind != _STDIN or number != request_id or end_length:
        return b"", beyond
    return data[begin : begin + length], at + _END.size + end_padding
