"""The records and batches of a log, as values."""

import pytest

from bridge.errors import TooLarge
from bridge.logs import (
    MAX_BATCH,
    MAX_RECORD,
    RECORDS_A_BATCH,
    Batch,
    Content,
    Record,
    Retention,
    decode_batch,
    encode_batch,
    encode_record,
    number_of,
)


def test_a_batch_is_read_back() -> None:
    """The records of one batch have consecutive positions, and each position gives the batch number."""
    contents: list[Content] = [{"a": "naïve\n"}, {}, {"b": [1, None]}]

    records, skipped = decode_batch(Batch(7, encode_batch(map(encode_record, contents))))

    assert [record.content for record in records] == contents
    assert [record.position for record in records] == [7 * RECORDS_A_BATCH + place for place in range(3)]
    assert {number_of(record.position) for record in records} == {7}
    assert skipped == 0


@pytest.mark.parametrize("line", [b"", b"\xff", b"null", b"[1]", b'"x"', b"{", b"[" * 100_000])
def test_a_line_that_is_no_record(line: bytes) -> None:
    """A line that is not a record is counted as skipped, and the records around it keep their positions."""
    records, skipped = decode_batch(Batch(0, b'{"n":0}\n' + line + b'\n{"n":2}'))

    assert records == [Record(0, {"n": 0}), Record(2, {"n": 2})]
    assert skipped == 1


def test_a_batch_that_is_too_large() -> None:
    """A batch above the limit was written by a foreign program and is not parsed."""
    assert decode_batch(Batch(0, b'{"n":"' + b"x" * MAX_BATCH + b'"}')) == ([], 1)


def test_a_record_that_is_too_large() -> None:
    """The limit of a record counts bytes, not characters."""
    assert len(encode_record({"n": "x" * (MAX_RECORD - 8)})) == MAX_RECORD
    with pytest.raises(TooLarge, match=str(MAX_RECORD)):
        encode_record({"n": "é" * (MAX_RECORD // 2)})


def test_a_retention_is_limited_by_age_or_size() -> None:
    """A retention without limits keeps all records."""
    assert not Retention().is_limited
    assert Retention(size=1).is_limited


def test_only_lines_with_a_text_are_read() -> None:
    """Of a batch, other lines are neither decoded nor counted, whether they are records or not."""
    batch = Batch(7, b'{"n": "a"}\n{"n": "b"}\n{a\n{b')

    records, skipped = decode_batch(batch, b"a")

    assert ([record.content for record in records], skipped) == ([{"n": "a"}], 1)
    assert decode_batch(batch, b"z") == ([], 0)
