"""The encoding of records, and their decoding from bytes in any pieces."""

import pytest

from bridge.fastcgi import InvalidRequest, ProtocolError
from bridge.fastcgi.records import MAX_CONTENT, Record, RecordReader, RecordType, encode_record
from tests.unit.bridge.fastcgi.application import END, STDIN, STDOUT, one_by_one, record, records_of

PAIR = record(STDOUT, b"hello", request_id=7, padding=3) + record(END, bytes(8), request_id=7)
RECORDS = [Record(STDOUT, 7, b"hello"), Record(END, 7, bytes(8))]


def drain(reader: RecordReader) -> list[Record]:
    return list(iter(reader.next_record, None))


def test_read_whole() -> None:
    """Records that arrive in one piece are returned in order, without padding."""
    reader = RecordReader()
    reader.feed(PAIR)
    assert drain(reader) == RECORDS
    assert reader.pending == 0


def test_read_one_byte_at_a_time() -> None:
    """Records that arrive byte by byte are the same."""
    reader, records = RecordReader(), []
    for byte in one_by_one(PAIR):
        reader.feed(byte)
        records += drain(reader)
    assert records == RECORDS


def test_read_with_a_tail() -> None:
    """The beginning of another record is kept until the rest of it arrives."""
    reader = RecordReader()
    reader.feed(PAIR + PAIR[:10])
    assert drain(reader) == RECORDS
    assert reader.pending == 10
    reader.feed(PAIR[10:])
    assert drain(reader) == RECORDS


@pytest.mark.parametrize("padding", [0, 1, 7, 255])
def test_padding_is_passed_over(padding: int) -> None:
    """Padding of any length is not part of the content."""
    reader = RecordReader()
    reader.feed(record(STDOUT, b"a", padding=padding) + record(STDOUT, b"b"))
    assert [found.content for found in drain(reader)] == [b"a", b"b"]


def test_largest_content() -> None:
    """A content of 65,535 bytes, the largest that the length field allows, is read whole."""
    reader = RecordReader()
    reader.feed(record(STDOUT, bytes(MAX_CONTENT), padding=255))
    assert drain(reader) == [Record(STDOUT, 1, bytes(MAX_CONTENT))]


@pytest.mark.parametrize("version", [0, 2, ord("H")])
def test_other_versions_are_rejected(version: int) -> None:
    """A version other than 1 is rejected when its header has arrived, before its content."""
    reader = RecordReader()
    reader.feed(record(STDOUT, bytes(100), version=version)[:8])
    with pytest.raises(ProtocolError, match=f"version {version}: expected version 1"):
        reader.next_record()


@pytest.mark.parametrize("type_", [type_ for type_ in range(256) if type_ not in (3, 6, 7, 10, 11)])
def test_types_no_application_sends_are_rejected(type_: int) -> None:
    """A type that applications do not send is rejected when its header has arrived."""
    reader = RecordReader()
    reader.feed(record(type_, bytes(100))[:8])
    with pytest.raises(ProtocolError, match=f"type {type_}: expected one of"):
        reader.next_record()


def test_encoded_records_decode() -> None:
    """The smallest and largest ids and lengths are encoded correctly."""
    encoded = encode_record(RecordType.STDIN, 1, b"") + encode_record(RecordType.STDIN, 65_535, bytes(MAX_CONTENT))
    assert list(records_of(encoded)) == [(STDIN, 1, b""), (STDIN, 65_535, bytes(MAX_CONTENT))]


@pytest.mark.parametrize(("request_id", "length"), [(0, 0), (65_536, 0), (-1, 0), (1, 65_536), (1, 131_072)])
def test_fields_that_do_not_fit_are_refused(request_id: int, length: int) -> None:
    """An id or a length that does not fit into 16 bits is refused, not truncated."""
    with pytest.raises(InvalidRequest, match="expected"):
        encode_record(RecordType.STDIN, request_id, bytes(length))


def test_a_small_remainder_does_not_keep_a_large_buffer() -> None:
    """The bytes of returned records are released even if an incomplete record follows them."""
    reader = RecordReader()
    reader.feed(record(STDOUT, bytes(60_000)) * 20 + b"\x01")
    drain(reader)
    assert len(reader._data) == 1
