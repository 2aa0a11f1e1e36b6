"""The benchmark's figures: what is written by handlers, how it is summed up, and what is divided by what."""

import os
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from benchmarks import records, report
from benchmarks.contender import Contender, Promise
from benchmarks.draining import Drain
from benchmarks.figures import GROUPS, percentiles, spread
from benchmarks.footprint import Footprint, footprint

NOTHING = Footprint(0.0, 0.0, 0.0, 0, 0, 0, 0)


def contender(name: str, broker: Literal["rabbitmq", "sqlite"], *, confirmed: bool = True) -> Contender:
    promise = Promise(confirmed, "quorum queue", "bare function")
    return Contender(name, broker, promise, ("worker",), lambda: nullcontext(lambda sent: None))


def test_records_are_read_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One record an event: when it was sent, and a later moment of the same clock."""
    file = tmp_path / "records"
    monkeypatch.setenv(records.FILE, str(file))

    records.record(17.5)
    records.record(18.5)

    assert records.count(file) == 2
    assert [sent for sent, _ in records.read(file)] == [17.5, 18.5]


def test_percentiles_are_of_the_times_in_any_order() -> None:
    """p50 is the one in the middle, p99 all but the last hundredth, in milliseconds."""
    assert percentiles([number / 1000 for number in reversed(range(101))]) == pytest.approx((50.0, 99.0))


@pytest.mark.parametrize(
    ("values", "shown"), [([3000.0, 1000.0, 2500.0], "1,000 – 2,500 – 3,000"), ([1500.0], "1,500"), ([], "")]
)
def test_a_spread_is_minimum_median_and_maximum(values: list[float], shown: str) -> None:
    """One round has no spread, and no round has no figure."""
    assert spread(values, 0) == shown


def test_cpu_is_what_was_used_meanwhile() -> None:
    """CPU an event is the difference of two footprints, in microseconds, by role."""
    before = replace(NOTHING, broker_cpu=1.0, worker_cpu=2.0, children_cpu=3.0)
    after = replace(NOTHING, broker_cpu=1.5, worker_cpu=2.25, children_cpu=5.0)

    drain = Drain(1_000, 1.0, before, after)

    assert drain.cpu == {"broker": 500.0, "worker": 250.0, "children": 2000.0}


def test_a_footprint_has_the_cpu_and_the_wake_ups_of_a_process() -> None:
    """The CPU clock of a process counts what it used, and each sleep is a wake-up."""
    before = footprint(os.getpid(), None)
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    for _ in range(5):
        time.sleep(0.001)
    after = footprint(os.getpid(), None)

    assert after.cpu_since(before)["worker"] >= 0.05
    assert after.wake_ups - before.wake_ups >= 5
    assert after.worker_memory > 0


def test_ratios_are_ours_by_the_peers_of_each_round_on_the_same_kind_of_broker() -> None:
    """Twice the peer's events/s is 2.00 in each round; nothing is compared across brokers, or across rounds."""
    tables = report.tables(
        {
            "bridge-rabbitmq": (contender("ours", "rabbitmq"), {1: {"events/s": 6000}, 2: {"events/s": 4000}}),
            "celery": (
                contender("Celery", "rabbitmq"),
                {1: {"events/s": 3000}, 2: {"events/s": 4000}, 3: {"events/s": 1}},
            ),
            "huey": (contender("Huey", "sqlite", confirmed=False), {1: {"events/s": 3000}}),
        }
    )

    assert [table.heading for table in tables] == ["Events a second"]
    promised = ("quorum queue", "bare function", "runs again")
    assert [tuple(row) for row in tables[0].rows[1:]] == [
        ("ours", "confirmed", *promised, "4,000 – 5,000 – 6,000", ""),
        ("Celery", "confirmed", *promised, "1 – 3,000 – 4,000", "1.00 – 1.50 – 2.00"),
        ("Huey", "unconfirmed", *promised, "3,000", ""),
    ]


def test_what_was_not_measured_has_no_row() -> None:
    """A contender whose sending alone was measured is in that table alone."""
    (table,) = report.tables(
        {"x": (contender("Dramatiq, confirming", "rabbitmq"), {1: {"send p50": 1, "send p99": 2}})}
    )

    assert table.heading == "Sending"
    assert tuple(table.rows[1])[-4:] == ("1.00", "", "2.00", "")


def test_every_row_has_a_cell_for_each_heading() -> None:
    """Figures that are not compared have no column of ratios."""
    figures = {figure.key: 1.0 for group in GROUPS for figure in group.figures}

    tables = report.tables({"bridge-sqlite": (contender("ours", "sqlite"), {1: figures})})

    assert len(tables) == len(GROUPS)
    assert all(len(row) == len(table.rows[0]) for table in tables for row in table.rows)


def test_tables_line_up() -> None:
    """The Markdown reads well as it is."""
    assert report.markdown([("a", "long"), ("longer", "b")]) == (
        "| a      | long |\n|--------|------|\n| longer | b    |"
    )
