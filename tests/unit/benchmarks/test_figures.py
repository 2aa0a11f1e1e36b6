"""The benchmark's figures: what is written by handlers, how it is summed up, and what is divided by what."""

from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import pytest

from benchmarks import records, report
from benchmarks.contender import Contender
from benchmarks.footprint import Footprint
from benchmarks.results import Drain, Result, Times, from_json, to_json


def contender(name: str, broker: Literal["rabbitmq", "sqlite"]) -> Contender:
    return Contender(name, broker, "no-op", True, ("worker",), lambda: nullcontext(lambda sent: None))


def result(name: str, per_second: float) -> Result:
    cpu = {"broker": 50.0, "worker": 100.0, "children": 250.0}
    drain = Drain(per_second, cpu, worker_memory=40 * 1024**2, child_memory=30 * 1024**2)
    return Result(name, Times(0.001, 0.002), Times(0.003, 0.004), drain)


def test_records_are_read_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One record an event: when it was sent, and a later moment of the same clock."""
    file = tmp_path / "records"
    monkeypatch.setenv(records.FILE, str(file))

    records.record(17.5)
    records.record(18.5)

    assert records.count(file) == 2
    assert [sent for sent, _ in records.read(file)] == [17.5, 18.5]


def test_percentiles_are_of_the_times_in_any_order() -> None:
    """p50 is the one in the middle, p99 all but the last hundredth."""
    assert Times.of([float(number) for number in reversed(range(101))]) == Times(50.0, 99.0)


def test_cpu_is_what_was_used_meanwhile() -> None:
    """CPU an event is the difference of two footprints, in microseconds, by role."""
    before = Footprint(1.0, 2.0, 3.0, 0, 0)
    after = Footprint(1.5, 2.25, 5.0, 0, 0)

    assert after.cpu_per_event(before, 1_000) == {"broker": 500.0, "worker": 250.0, "children": 2000.0}


@pytest.mark.parametrize("measured", [result("celery-quorum", 3000.0), Result("dramatiq-confirming", Times(1.0, 2.0))])
def test_a_result_survives_the_way_between_processes(measured: Result) -> None:
    """Figures that one process writes as JSON are equal when another process reads them."""
    assert from_json(to_json(measured)) == measured


def test_ratios_are_ours_by_the_peers_on_the_same_kind_of_broker() -> None:
    """Twice the peer's events/s is 2.00; nothing is compared across brokers."""
    rows = report.ratios(
        {
            "bridge-rabbitmq": (contender("this project", "rabbitmq"), result("bridge-rabbitmq", 6000.0)),
            "celery-quorum": (contender("Celery", "rabbitmq"), result("celery-quorum", 3000.0)),
            "huey": (contender("Huey", "sqlite"), result("huey", 3000.0)),
        }
    )

    assert rows[1:] == [("Celery", "2.00", "1.00", "1.00", "1.00", "1.00")]


def test_what_was_not_measured_is_left_empty() -> None:
    """A contender whose sending alone was measured has no other figures."""
    sending = Result("dramatiq-confirming", Times(0.001, 0.002))

    row = report.table([(contender("Dramatiq, confirming", "rabbitmq"), sending)])[1]

    assert row == ("Dramatiq, confirming", "rabbitmq", "no-op", "confirmed", "", "", "1.00 / 2.00", "", "", "", "", "")


def test_tables_line_up() -> None:
    """The Markdown reads well as it is."""
    assert report.markdown([("a", "long"), ("longer", "b")]) == (
        "| a      | long |\n|--------|------|\n| longer | b    |"
    )
