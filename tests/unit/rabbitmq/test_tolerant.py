"""pamqp's reading of what is no UTF-8 and beyond the calendar."""

import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pamqp import encode

from bridge.brokers.rabbitmq.tolerant import be_tolerant, short_string, table, time

be_tolerant()


@given(some.binary(max_size=255), some.binary(max_size=5))
def test_short_string_of_any_bytes(octets: bytes, tail: bytes) -> None:
    """Any bytes are a short string; UTF-8 is read as it is."""
    used, text = short_string(bytes([len(octets)]) + octets + tail)

    assert used == len(octets) + 1
    assert text == octets.decode(errors="backslashreplace")


@given(some.integers(0, 2**64 - 1))
def test_any_time(seconds: int) -> None:
    """Any 64 bits are a time, or none."""
    used, moment = time(struct.pack(">Q", seconds))

    assert used == 8
    assert moment is None or moment.tzinfo is UTC


def test_milliseconds() -> None:
    """What can only be milliseconds is read as such."""
    assert time(struct.pack(">Q", 1_900_000_000_000))[1] == datetime.fromtimestamp(1_900_000_000, UTC)


def test_table() -> None:
    """A table is read as pamqp writes it, tables in it too."""
    fields: dict[str, Any] = {"a": "text", "b": 7, "c": {"d": [1, "x"]}, "e": True}
    encoded = encode.field_table(fields)

    assert table(encoded + b"tail") == (len(encoded), fields)


def test_table_beyond_its_frame() -> None:
    """A table that claims more than there is, is an error that pamqp knows."""
    with pytest.raises(ValueError, match="beyond"):
        table(struct.pack(">I", 100) + b"\x01a")
