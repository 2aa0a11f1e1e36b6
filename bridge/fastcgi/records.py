"""Records: the frames that both sides exchange, made and taken apart. What they mean is not known here.

version 1 | type | request id, 2 bytes | content length, 2 bytes | padding length | reserved | content | padding
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from bridge.fastcgi.errors import InvalidRequest, ProtocolError

VERSION = 1
MAX_CONTENT = 65_535
"""The most bytes that a record can hold."""
SENT_CONTENT = 65_528
"""The most bytes that we put into a record: the largest length that keeps an alignment to 8 bytes without padding."""
HEADER = struct.Struct(">BBHHBx")


class RecordType(IntEnum):
    """The types of the specification that a web server sends or may receive."""

    BEGIN_REQUEST = 1
    ABORT_REQUEST = 2
    END_REQUEST = 3
    PARAMS = 4
    STDIN = 5
    STDOUT = 6
    STDERR = 7
    GET_VALUES_RESULT = 10
    UNKNOWN_TYPE = 11


class ProtocolStatus(IntEnum):
    """How END_REQUEST says that the protocol's side of a request went."""

    REQUEST_COMPLETE = 0
    CANT_MPX_CONN = 1
    OVERLOADED = 2
    UNKNOWN_ROLE = 3


FROM_APPLICATION = frozenset(
    {
        RecordType.END_REQUEST,
        RecordType.STDOUT,
        RecordType.STDERR,
        RecordType.GET_VALUES_RESULT,
        RecordType.UNKNOWN_TYPE,
    }
)


class Record(NamedTuple):
    """One whole record of the application's, without its padding."""

    type: int
    request_id: int
    content: bytes


def encode_record(type_: RecordType, request_id: int, content: bytes | memoryview = b"") -> bytes:
    """Return the bytes of a record. Raise `InvalidRequest` for an id or a length that its field cannot hold: a length
    that is cut to 16 bits would let content pass for further records."""
    length = len(content)
    if length > MAX_CONTENT:
        raise InvalidRequest(f"a {type_.name} record of {length} bytes: expected at most {MAX_CONTENT}")
    if not 0 < request_id <= 0xFFFF:
        raise InvalidRequest(f"request id {request_id}: expected 1 to 65535")
    return HEADER.pack(VERSION, type_, request_id, length, 0) + content


class RecordReader:
    """Takes the application's records out of bytes that come in any pieces. It keeps at most one unfinished record
    beyond what it was last fed."""

    __slots__ = ("_at", "_data")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    @property
    def pending(self) -> int:
        """How many bytes have been fed and not been returned yet."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Take further bytes."""
        self._data = self._data[self._at :] + data if self.pending else data
        self._at = 0

    def next_record(self) -> Record | None:
        """Return the next whole record with its padding passed over, None if it is still to come.

        Raise `ProtocolError` as soon as a header is seen that no application may send.
        """
        start = self._at + HEADER.size
        if start <= len(self._data):
            version, type_, request_id, length, padding = HEADER.unpack_from(self._data, self._at)
            if version != VERSION:
                raise ProtocolError(f"a record of version {version}: expected version {VERSION}")
            if type_ not in FROM_APPLICATION:
                raise ProtocolError(f"a record of type {type_}: expected one of {sorted(map(int, FROM_APPLICATION))}")
            end = start + length
            if end + padding <= len(self._data):
                self._at = end + padding
                return Record(type_, request_id, self._data[start:end])
        # What has been returned is let go, so that a small remainder does not hold a large read in memory.
        self._data = self._data[self._at :]
        self._at = 0
        return None
