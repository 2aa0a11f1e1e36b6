"""What processes used: CPU time from /proc/PID/stat, in ticks of a hundredth of a second, and resident memory."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Footprint:
    """By role: CPU seconds since each process began, and memory in bytes: the worker's, and one child's on average."""

    broker_cpu: float
    worker_cpu: float
    children_cpu: float
    worker_memory: int
    child_memory: int

    def cpu_per_event(self, before: "Footprint", events: int) -> dict[str, float]:
        """Return the microseconds an event took of each role since `before`."""
        now, then = asdict(self), asdict(before)
        return {
            role: (now[f"{role}_cpu"] - then[f"{role}_cpu"]) / max(events, 1) * 1e6
            for role in ("broker", "worker", "children")
        }


def footprint(worker: int, broker: int | None) -> Footprint:
    """Return it for a worker with all that it started, and a broker's process (None: the broker is a file)."""
    parent = psutil.Process(worker)
    children = parent.children(recursive=True)
    # A helper that runs no handlers (a resource tracker, a scheduler) is counted, but is no child's memory.
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
