"""The record that each handler writes, whoever's handler it is: when its event was sent, and when the handler ran.

One file for all processes of a run, appended to by one write of 16 bytes each, which the kernel keeps whole. Some two
microseconds, the same for every contender. Times are the monotonic clock's, which all processes share.
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
    """Return how many records there are."""
    return file.stat().st_size // _RECORD.size


def read(file: Path) -> Sequence[tuple[float, float]]:
    """Return all records, in the order in which they were written."""
    return list(_RECORD.iter_unpack(file.read_bytes()))
