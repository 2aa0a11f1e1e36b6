"""CPU seconds of processes, and of the whole machine, since their start."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process; 0 if it has ended. The clock of a process counts nanoseconds."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def cpu_of_descendants(pid: int) -> Mapping[int, float]:
    """Return the CPU seconds of each process that this process, or one of its children, has started."""
    parents = _parents()
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {child: cpu_seconds(child) for child in found - {pid}}


def cpu_of_machine() -> float:
    """Return the CPU seconds of all processes and of the kernel, on all cores."""
    ticks = [int(field) for field in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]  # with waiting for disks
    return (sum(ticks) - idle) / _TICKS


def _parents() -> dict[int, int]:
    parents = {}
    for directory in _PROC.iterdir():
        if directory.name.isdigit():
            with suppress(OSError):  # the process has ended
                after_name = (directory / "stat").read_text(errors="replace").rpartition(")")[2]
                parents[int(directory.name)] = int(after_name.split()[1])
    return parents
