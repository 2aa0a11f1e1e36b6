"""Runs a program whose wall clock is shifted by the number of seconds in a file. Its monotonic clock is not shifted.

``python -m tests.faults.shifted FILE PROGRAM [ARGUMENT …]``, where PROGRAM is `worker` or `publisher`. The file holds
one double (`shift`), which may change at any time. The program is imported after the clock is patched, so that its
imports get the shifted clock. Processes that the program starts have the machine's own clock.
"""

import datetime as calendar
import importlib
import mmap
import struct
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

_SECONDS = struct.Struct("d")


def shift(file: Path, seconds: float) -> None:
    """Shift the clocks that follow this file by this many seconds."""
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.write(_SECONDS.pack(seconds))


class _Shift:
    """Reads the current shift from the file."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as opened:
            self._memory = mmap.mmap(opened.fileno(), _SECONDS.size, access=mmap.ACCESS_READ)

    @property
    def seconds(self) -> float:
        found: float = _SECONDS.unpack(self._memory[:])[0]
        return found


def follow(file: Path) -> None:
    """Let this process's wall clock follow the file."""
    by, time_of_day, nanoseconds = _Shift(file), time.time, time.time_ns

    class AnyDatetime(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, datetime)

    class Shifted(datetime, metaclass=AnyDatetime):
        @classmethod
        def now(cls, tz: calendar.tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(time_of_day() + by.seconds, tz)

    time.time = lambda: time_of_day() + by.seconds
    time.time_ns = lambda: nanoseconds() + int(by.seconds * 1e9)
    calendar.datetime = Shifted  # type: ignore[misc]  # mypy does not let a class be replaced


def main(file: str, program: str, *arguments: str) -> None:
    """Run the program with a shifted clock."""
    follow(Path(file))
    if program == "worker":
        importlib.import_module("worker.cli").main(arguments)
    else:
        name, threads, rate = arguments
        importlib.import_module("tests.faults.publisher").main(name, int(threads), float(rate))


if __name__ == "__main__":
    main(*sys.argv[1:])
