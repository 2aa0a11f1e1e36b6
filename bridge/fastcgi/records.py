"""Records, the frames of the protocol: their encoding and decoding. Their meaning is in `connection` and `replies`.

version 1 | type | request id, 2 bytes | content length, 2 bytes | padding length | reserved | content | padding
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from bridge.fastcgi.errors import InvalidRequest, NotFastCGI, ProtocolError

VERSION = 1
MAX_CONTENT = 65_535
"""The largest content of a record in bytes."""
SENT_CONTENT = 65_528
"""The largest content of a record that is sent, in bytes: the largest length that is a multiple of 8, so that records
are aligned without padding."""
HEADER = struct.Struct(">BBHHBx")


class RecordType(IntEnum):
    """The record types that a web server sends or may receive, with the numbers of the specification."""

    BEGIN_REQUEST = 1
    ABORT_REQUEST = 2
    END_REQUEST = 3
    PARAMS = 4
    STDIN = 5
    STDOUT = 6
    STDERR = 7
    GET_VALUES_RESULT = 10
    UNKNOWN_TYPE = 11


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
    """One whole record, without its padding."""

    type: int
    request_id: int
    content: bytes


def encode_record(type_: RecordType, request_id: int, content: bytes | memoryview = b"") -> bytes:
    """Return the bytes of a record. Raise `InvalidRequest` for an id or a length that does not fit into its 16 bits."""
    return encode_header(type_, request_id, len(content)) + content


def encode_header(type_: RecordType, request_id: int, length: int) -> bytes:
    """Return the header of a record whose content has this length. Raise `InvalidRequest` for an id or a length that
    does not fit into its 16 bits. If a length was truncated, the application would read the rest of the content as
    further records."""
    if length > MAX_CONTENT:
        raise InvalidRequest(f"a {type_.name} record of {length} bytes: expected at most {MAX_CONTENT}")
    if not 0 < request_id <= 0xFFFF:
        raise InvalidRequest(f"request id {request_id}: expected 1 to 65535")
    return HEADER.pack(VERSION, type_, request_id, length, 0)


class RecordReader:
    """Reads records from bytes that arrive in pieces of any size. Between calls of `feed` it keeps at most one
    incomplete record. `types` are the types that the sender may use; None allows any type."""

    __slots__ = ("_at", "_data", "_fresh", "_types")

    def __init__(self, types: frozenset[RecordType] | None = FROM_APPLICATION) -> None:
        self._types = types
        self._data = b""
        self._at = 0
        self._fresh = True

    @property
    def pending(self) -> int:
        """The number of bytes that were fed and not yet returned."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Append further bytes."""
        self._data = self._data[self._at :] + data if self.pending else data
        self._at = 0

    def skipped(self) -> None:
        """Note that whole records of the sender were read without this reader."""
        self._fresh = False

    def next_record(self) -> Record | None:
        """Return the next whole record and skip its padding. Return None if the record is not complete yet.

        Raise `ProtocolError` for a header that the sender may not send, before the content has arrived, and
        `NotFastCGI` if it is the first one and shows that the sender speaks another protocol.
        """
        start = self._at + HEADER.size
        if start <= len(self._data):
            version, type_, request_id, length, padding = HEADER.unpack_from(self._data, self._at)
            if version != VERSION:
                breach = f"a record of version {version}: expected version {VERSION}"
                if self._fresh and 0x20 <= version < 0x7F:  # a text, as HTTP, SMTP and Redis send it
                    raise NotFastCGI(f"{breach}; {self._data[self._at : start]!r} is another protocol")
                raise ProtocolError(breach)
            if self._types is not None and type_ not in self._types:
                raise ProtocolError(f"a record of type {type_}: expected one of {sorted(map(int, self._types))}")
            end = start + length
            if end + padding <= len(self._data):
                self._at = end + padding
                self._fresh = False
                return Record(type_, request_id, self._data[start:end])
        # The returned bytes are released here, so that a small remainder does not keep a large buffer in memory.
        self._data = self._data[self._at :]
        self._at = 0
        return None
