"""The watcher that a measured worker has: it records each settled attempt in a file, in 17 bytes.

The worker process writes; `bridge-bench` reads. A record takes some two microseconds of the worker's CPU.
"""

import os
import struct
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bridge.moments import Moment, Settled
from bridge.settlement import Ack

FILE = "BENCH_RECORDS"
"""The environment variable that names the file."""

_RECORD = struct.Struct("<dd?")


class Record(NamedTuple):
    """An attempt: when its event was made and when it was settled (seconds since 1970), and if it was delivered."""

    made: float
    settled: float
    delivered: bool


def watch(moment: Moment) -> None:
    """Record an attempt whose settlement the broker has confirmed."""
    if isinstance(moment, Settled):
        delivered = isinstance(moment.settlement, Ack)
        os.write(_file(), _RECORD.pack(moment.event.time.timestamp(), time.time(), delivered))


@cache
def _file() -> int:
    return os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def count(file: Path) -> int:
    """Return the number of records; 0 if there is no file yet."""
    return file.stat().st_size // _RECORD.size if file.exists() else 0


def read(file: Path) -> Sequence[Record]:
    """Return all records, in the order in which the attempts were settled."""
    data = file.read_bytes()
    whole = len(data) // _RECORD.size * _RECORD.size
    return [Record(*fields) for fields in _RECORD.iter_unpack(data[:whole])]
