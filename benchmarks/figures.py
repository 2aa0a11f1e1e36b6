"""The figures that are measured of each contender, as a table: the reports, medians and ratios follow from it."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Figures = Mapping[str, float]
"""The figures of one contender in one round, by the key of `Figure`. What was not measured is missing."""

PACES = {50: 500, 1_000: 5_000}
"""Events a second of a measurement of latencies, and the number of events."""

IDLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: its key, its heading with the unit, the decimal places that are shown, and if our ratio is shown."""

    key: str
    heading: str
    digits: int = 0
    compared: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """Figures that share a table of the report, and a paragraph about their measurement."""

    heading: str
    what: str
    figures: Sequence[Figure]


def pace_keys(pace: int) -> tuple[str, str, str]:
    """Return the keys of the figures at this pace: p50, p99, and the events that were sent each second."""
    return f"p50 at {pace}", f"p99 at {pace}", f"sent at {pace}"


def _at(pace: int) -> Group:
    p50, p99, sent = pace_keys(pace)
    return Group(
        f"Latency at {pace:,} events a second",
        "From just before an event is sent until its handler runs, in ms, with a worker that is warm. The last column "
        "is the pace that the sender reached; a confirmed send can be too slow for it.",
        (Figure(p50, "p50, ms", 2), Figure(p99, "p99, ms", 2), Figure(sent, "sent a second", compared=False)),
    )


GROUPS = (
    Group(
        "Events a second",
        "A worker drains a backlog. The clock starts after a tenth of it, when all processes have booted.",
        (Figure("events/s", "events/s"),),
    ),
    Group(
        "CPU an event",
        "Microseconds of CPU for each event of that backlog: all, and of them the broker, the worker's process and its "
        "children. Threads of a child that take events from the broker themselves count for the child.",
        tuple(Figure(f"cpu {role}", role, compared=role == "all") for role in ("all", "broker", "worker", "children")),
    ),
    *map(_at, PACES),
    Group(
        "Sending",
        "Milliseconds of one send, one after the other, from one thread.",
        (Figure("send p50", "p50, ms", 2), Figure("send p99", "p99, ms", 2)),
    ),
    Group(
        "Idle",
        f"The worker and its children {IDLE_SECONDS:g} s long without an event, after the above: ms of CPU a second, "
        "wake-ups a second of all threads (voluntary context switches), and resident memory in MiB.",
        (
            Figure("idle cpu", "CPU, ms/s", 2),
            Figure("idle wake-ups", "wake-ups/s", 1),
            Figure("memory all", "memory: all processes"),
            Figure("memory worker", "the worker", compared=False),
            Figure("memory child", "a child", compared=False),
        ),
    ),
)


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile of these times, at least one, in milliseconds."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return ordered[round(0.5 * last)] * 1000, ordered[round(0.99 * last)] * 1000


def spread(values: Sequence[float], digits: int) -> str:
    """Return `minimum – median – maximum`; of one value, the value; of none, an empty text."""
    shown = [min(values), statistics.median(values), max(values)] if len(values) > 1 else values
    return " – ".join(f"{value:,.{digits}f}" for value in shown)
