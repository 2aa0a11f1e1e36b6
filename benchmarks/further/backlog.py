"""A long backlog: whether a worker is as fast at its end as at its start, and how much CPU and memory it needs."""

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bridge_place import Place
from benchmarks.draining import BOOTED_SHARE
from benchmarks.figures import spread
from benchmarks.footprint import Footprint, footprint
from benchmarks.report import Row, Table
from benchmarks.running_worker import RunningWorker
from benchmarks.scale import Scale
from tests.rabbitmq_node import RabbitNode

MIB = 1024**2
FIFTH = (1.0 - BOOTED_SHARE) / 5


def measure(directory: Path, scale: Scale) -> Table:
    """Drain the backlog on each broker, by turns."""
    drains: dict[str, list[_Drain]] = defaultdict(list)
    with ExitStack() as stack:
        node = stack.enter_context(RabbitNode())
        for number in range(scale.rounds):
            for broker in ("sqlite", "rabbitmq"):
                place = Place(directory / f"{broker}-{number}", None if broker == "sqlite" else node.new_vhost())
                place.publish(scale.backlog)
                with place.worker() as worker:
                    drains[broker].append(_drain(worker, scale.backlog))
    return Table(
        "A long backlog",
        f"A worker with two children drains {scale.backlog:,} events, each a whole Flask request that was deferred "
        "confirmed. The first tenth does not count; of the rest, its first and its last fifth are compared: the events "
        "a second, and the CPU of the worker and its children in microseconds an event. The memory is that of the "
        f"worker with its children at the start and at the end. {scale.rounds} round(s), by turns.",
        (
            (
                *("broker", "events/s", "first fifth", "last fifth", "ratio", "goal"),
                *("CPU, µs: first fifth", "last fifth", "ratio", "goal"),
                *("memory, MiB: start", "end", "ratio", "goal"),
            ),
            *(_row(broker, each) for broker, each in drains.items()),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Mark:
    """A moment of a drain: the events handled until then, the time in monotonic seconds, and the footprint."""

    events: int
    time: float
    footprint: Footprint

    def per_second_since(self, before: "_Mark") -> float:
        return (self.events - before.events) / (self.time - before.time)

    def cpu_since(self, before: "_Mark") -> float:
        """Return the CPU microseconds an event."""
        cpu = self.footprint.cpu_since(before.footprint)
        return (cpu["worker"] + cpu["children"]) / (self.events - before.events) * 1e6


@dataclass(frozen=True, slots=True)
class _Drain:
    """The marks of a drain: after the first tenth, a fifth of the rest later, a fifth before the end, at the end."""

    start: _Mark
    early: _Mark
    late: _Mark
    end: _Mark


def _drain(worker: RunningWorker, backlog: int) -> _Drain:
    shares = (BOOTED_SHARE, BOOTED_SHARE + FIFTH, 1.0 - FIFTH, 1.0)
    return _Drain(*(_mark(worker, round(backlog * share)) for share in shares))


def _mark(worker: RunningWorker, events: int) -> _Mark:
    handled = worker.handled(events)
    return _Mark(handled, time.monotonic(), footprint(worker.pid, None))


def _row(broker: str, drains: Sequence[_Drain]) -> Row:
    first = [each.early.per_second_since(each.start) for each in drains]
    last = [each.end.per_second_since(each.late) for each in drains]
    first_cpu = [each.early.cpu_since(each.start) for each in drains]
    last_cpu = [each.end.cpu_since(each.late) for each in drains]
    start = [each.start.footprint.all_memory / MIB for each in drains]
    end = [each.end.footprint.all_memory / MIB for each in drains]
    return (
        broker,
        spread([each.end.per_second_since(each.start) for each in drains], 0),
        *(spread(first, 0), spread(last, 0), spread(_ratios(last, first), 2), "≥ 0.95"),
        *(spread(first_cpu, 0), spread(last_cpu, 0), spread(_ratios(last_cpu, first_cpu), 2), "≤ 1.05"),
        *(spread(start, 0), spread(end, 0), spread(_ratios(end, start), 2), "flat"),
    )


def _ratios(values: Sequence[float], of: Sequence[float]) -> list[float]:
    return [value / other for value, other in zip(values, of, strict=True)]
