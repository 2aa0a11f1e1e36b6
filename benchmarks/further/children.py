"""Throughput by the number of children, for events that do nothing, compute, or wait."""

from collections import defaultdict
from pathlib import Path

from benchmarks.bridge_place import Place
from benchmarks.draining import drained
from benchmarks.figures import spread
from benchmarks.report import Table
from benchmarks.scale import Scale

CHILDREN = (1, 2, 4)
WORK = {"nothing": ("", 1.0), "1 ms of CPU": ("cpu:0.001", 0.25), "10 ms of waiting": ("sleep:0.01", 0.05)}
"""By what an event does: what the app is told, and the share of the run's events that is drained."""


def measure(directory: Path, scale: Scale) -> Table:
    """Drain on SQLite, by turns."""
    rates: dict[tuple[str, int], list[float]] = defaultdict(list)
    for number in range(scale.rounds):
        for what, (work, share) in WORK.items():
            for children in CHILDREN:
                place = Place(directory / f"{number}-{work.replace(':', '-')}-{children}")
                events = round(scale.events * share)
                place.publish(events)
                with place.worker(children, work) as worker:
                    rates[what, children].append(drained(worker, events).per_second)
    header = ("an event does", *(f"events/s, {each} {'child' if each == 1 else 'children'}" for each in CHILDREN))
    return Table(
        "Children",
        f"A worker drains up to {scale.events:,} events, each a whole Flask request, from SQLite with fsync, with 1, 2 "
        f"and 4 children, by turns; {scale.rounds} rounds. The ratios are to one child, in each round.",
        (
            (*header, *(f"{each} ÷ 1" for each in CHILDREN[1:])),
            *(
                (
                    what,
                    *(spread(rates[what, each], 0) for each in CHILDREN),
                    *(spread(_ratios(rates[what, each], rates[what, 1]), 2) for each in CHILDREN[1:]),
                )
                for what in WORK
            ),
        ),
    )


def _ratios(rates: list[float], of_one: list[float]) -> list[float]:
    return [rate / one for rate, one in zip(rates, of_one, strict=True)]
