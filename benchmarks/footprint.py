"""CPU time, wake-ups and resident memory of a worker, its children and its broker."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Footprint:
    """CPU seconds by role since the start of the processes, voluntary context switches of the worker and its children,
    and memory in bytes: of the worker, of an average child, and of both with all other children."""

    broker_cpu: float
    worker_cpu: float
    children_cpu: float
    wake_ups: int
    worker_memory: int
    child_memory: int
    all_memory: int

    def cpu_since(self, before: "Footprint") -> dict[str, float]:
        """Return the CPU seconds since `before`, by role."""
        return {
            "broker": self.broker_cpu - before.broker_cpu,
            "worker": self.worker_cpu - before.worker_cpu,
            "children": self.children_cpu - before.children_cpu,
        }


def footprint(worker: int, broker: int | None) -> Footprint:
    """Return the footprint of a worker, its children, and a broker's process (None: the broker is a file)."""
    parent = psutil.Process(worker)
    children = parent.children(recursive=True)
    # A process that runs no handlers (a resource tracker, a scheduler) counts for the CPU, not for a child's memory.
    memories = sorted((child.memory_info().rss for child in children), reverse=True)
    largest = memories[:2] or [0]
    own = parent.memory_info().rss
    return Footprint(
        broker_cpu=_cpu(broker) if broker is not None else 0.0,
        worker_cpu=_cpu(worker),
        children_cpu=sum(_cpu(child.pid) for child in children),
        wake_ups=sum(_wake_ups(process.pid) for process in (parent, *children)),
        worker_memory=own,
        child_memory=sum(largest) // len(largest),
        all_memory=own + sum(memories),
    )


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process. Its clock counts nanoseconds, and /proc/PID/stat only ticks of 10 ms."""
    return time.clock_gettime((~pid << 3) | 2)


def _wake_ups(pid: int) -> int:
    return sum(_switches(status.read_text().splitlines()) for status in Path(f"/proc/{pid}/task").glob("*/status"))


def _switches(status: Iterable[str]) -> int:
    with suppress(StopIteration):
        return int(next(line for line in status if line.startswith("voluntary_ctxt_switches")).split()[1])
    return 0
