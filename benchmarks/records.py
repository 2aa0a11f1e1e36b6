"""The records that the handlers of all contenders write: when the event was sent, and when the handler ran.

All processes of a run append to one file, by one write of 16 bytes for each record, which the kernel does not split. A
record takes some two microseconds. Times are those of the monotonic clock, which all processes share.
"""

import os
import struct
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

FILE = "BENCH_RECORDS"
"""The environment variable that names the file."""

_RECORD = struct.Struct("dd")


def record(sent: float) -> None:
    """Note that the event sent at this time is being handled now."""
    os.write(_file(), _RECORD.pack(sent, time.monotonic()))


@cache
def _file() -> int:
    return os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def count(file: Path) -> int:
    """Return the number of records."""
    return file.stat().st_size // _RECORD.size


def read(file: Path) -> Sequence[tuple[float, float]]:
    """Return all records, in the order of their writes."""
    return list(_RECORD.iter_unpack(file.read_bytes()))
