"""A row of an event: how an envelope is written, and what the columns mean."""

import time
from dataclasses import dataclass
from datetime import datetime

from bridge.envelope import Envelope, encode_head
from bridge.handling import Priority
from bridge.local_database.ledger_table import microseconds
from bridge.queues import lane_of

COME_DUE = 1 << 62
"""Subtracted from the due time when an event becomes due, so that it stays due, in order, if the clock is set back."""

CONTENT = "CAST(name AS BLOB), CAST(head AS BLOB), CAST(data AS BLOB)"
"""The columns of a row's content, as `decoding.stored` takes them. They are read as bytes, because text that is not
UTF-8 would raise, and the whole queue could not be read."""


@dataclass(frozen=True, slots=True)
class Row:
    """An envelope as it is written. `due`: microseconds since 1970 (None: now). `lane`: its priority, once it is in a
    queue."""

    name: str
    head: str
    data: bytes
    due: int | None
    lane: Priority = Priority.NORMAL


def row_of(envelope: Envelope, due: datetime | None) -> Row:
    """Return the row of an envelope that is due then (None: now)."""
    event = envelope.event
    time = None if due is None else microseconds(due)
    return Row(event.name, encode_head(envelope), event.data, time, lane_of(event.handling))


def now_microseconds() -> int:
    """Return this machine's clock, in microseconds since 1970."""
    return time.time_ns() // 1000
