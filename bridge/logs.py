"""The records of an append-only log, as values. A broker stores the log.

A record is a JSON object of at most `MAX_RECORD` bytes. Records are sent and stored in batches of one or more records,
one record a line. The position of a record is one integer, made of the number of its batch and its place in the batch.
Positions increase and are the same for every reader.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bridge.envelope import to_json
from bridge.errors import BridgeError, TooLarge

MAX_RECORD = 64 * 1024
"""The largest record, in bytes of JSON."""

MAX_BATCH = 4 * MAX_RECORD
"""The largest batch in bytes. A larger batch, which only a foreign program can have written, counts as unreadable."""

RECORDS_A_BATCH = 1 << 16
BEFORE_ALL = -1
"""A number below all positions and all batch numbers."""

Content = Mapping[str, Any]


class AppendUnconfirmed(BridgeError):
    """The broker did not confirm a record in time. The record may be in the log."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The part of a log that is kept: records younger than `age`, and of these the newest `size` bytes. None means no
    limit. The broker removes other records at a time of its own, so a log can hold more."""

    age: timedelta | None = None
    size: int | None = None

    @property
    def is_limited(self) -> bool:
        """True if the broker removes records."""
        return self.age is not None or self.size is not None


KEEP_ALL = Retention()


@dataclass(frozen=True, slots=True)
class Record:
    """A record with its position in the log."""

    position: int
    content: Content


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are stored together. Batch numbers increase."""

    number: int
    data: bytes


def encode_record(content: Content) -> bytes:
    """Return a record as one line of JSON. Raise `TooLarge` if it exceeds `MAX_RECORD` bytes."""
    line = to_json(dict(content)).encode()
    if len(line) > MAX_RECORD:
        raise TooLarge(f"log record: expected at most {MAX_RECORD} bytes, got {len(line)}")
    return line


def encode_batch(lines: Iterable[bytes]) -> bytes:
    """Return the data of a batch of these encoded records."""
    return b"\n".join(lines)


def decode_batch(batch: Batch, having: bytes = b"") -> tuple[list[Record], int]:
    """Return the records of a batch whose lines contain these bytes, and how many of these lines cannot be read."""
    if len(batch.data) > MAX_BATCH:
        return [], 1
    if having not in batch.data:
        return [], 0
    numbered = enumerate(batch.data.split(b"\n")[:RECORDS_A_BATCH])
    lines = [(place, line) for place, line in numbered if having in line]
    records = [
        Record(first_position(batch.number) + place, content)
        for place, line in lines
        if (content := decode_record(line)) is not None
    ]
    return records, len(lines) - len(records)


def text_in_records(text: str) -> bytes:
    """Return a text as the lines of records contain it."""
    return to_json({"": text})[len('{"":"') : -len('"}')].encode()


def first_position(number: int) -> int:
    """Return the position of the first record of the batch with this number."""
    return number * RECORDS_A_BATCH


def number_of(position: int) -> int:
    """Return the number of the batch that holds the record at this position."""
    return position // RECORDS_A_BATCH


def decode_record(line: bytes) -> Content | None:
    """Return the record of a line; None if the line is not a record."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
