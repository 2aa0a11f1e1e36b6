"""CPU time of processes, from /proc/PID/stat in ticks of 10 ms, and their resident memory."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Footprint:
    """CPU seconds by role since the start of the processes, and memory in bytes of the worker and an average child."""

    broker_cpu: float
    worker_cpu: float
    children_cpu: float
    worker_memory: int
    child_memory: int

    def cpu_per_event(self, before: "Footprint", events: int) -> dict[str, float]:
        """Return the CPU microseconds for each event since `before`, by role."""
        now, then = asdict(self), asdict(before)
        return {
            role: (now[f"{role}_cpu"] - then[f"{role}_cpu"]) / max(events, 1) * 1e6
            for role in ("broker", "worker", "children")
        }


def footprint(worker: int, broker: int | None) -> Footprint:
    """Return the footprint of a worker, its children, and a broker's process (None: the broker is a file)."""
    parent = psutil.Process(worker)
    children = parent.children(recursive=True)
    # A process that runs no handlers (a resource tracker, a scheduler) counts for the CPU, not for a child's memory.
    largest = sorted((child.memory_info().rss for child in children), reverse=True)[:2] or [0]
    return Footprint(
        broker_cpu=_cpu([psutil.Process(broker)]) if broker is not None else 0.0,
        worker_cpu=_cpu([parent]),
        children_cpu=_cpu(children),
        worker_memory=parent.memory_info().rss,
        child_memory=sum(largest) // len(largest),
    )


def _cpu(processes: Sequence[psutil.Process]) -> float:
    return sum((times.user + times.system for times in (process.cpu_times() for process in processes)), start=0.0)
