"""What a benchmark tells: what limits it, its times, and its JSON."""

import json
from dataclasses import replace

import pytest

from worker.bench.result import Drain, Result, Times, limit_of

IDLE = Drain(1_000, 10.0, worker=1.0, children=1.0, others=1.0, processes=2, cores=4)
RESULT = Result(
    "shop:app", "RabbitMQ", "a.b", "confirmed", 1234.4, Times(1.0, 2.0), IDLE, 50, Times(3.0, 4.0), failed=0
)


@pytest.mark.parametrize(
    ("drain", "named"),
    [
        (IDLE, "waiting"),
        (replace(IDLE, worker=9.0), "the worker's process: it uses 90% of a core"),
        (replace(IDLE, children=18.0), "the children: each uses 90% of a core"),
        (replace(IDLE, worker=9.0, children=18.0), "the worker's process"),
        (replace(IDLE, worker=9.0, children=18.0, others=10.0), "the machine: its 4 cores are busy to 92%"),
        (replace(IDLE, others=35.0), "other processes of this machine, such as its broker: they use 3.5 of 4 cores"),
    ],
)
def test_the_limit_is_the_busiest_part(drain: Drain, named: str) -> None:
    """All cores go before the worker's one core, and that before the children's."""
    assert limit_of(drain).startswith(named)


def test_times_are_percentiles_in_milliseconds() -> None:
    """The order of the times does not matter."""
    times = Times.of([number / 1000 for number in reversed(range(101))])

    assert (round(times.p50, 6), round(times.p99, 6)) == (50.0, 99.0)


def test_the_document_has_each_figure_with_its_promise() -> None:
    """CPU is in microseconds an event; what is busy is a share."""
    document = json.loads(json.dumps(RESULT.document()))

    assert document["promise"] == "confirmed"
    assert document["events_per_second"] == 100
    assert document["publish"] == {"per_second": 1234, "milliseconds": {"p50": 1.0, "p99": 2.0}}
    assert document["latency"] == {"pace": 50, "milliseconds": {"p50": 3.0, "p99": 4.0}}
    assert document["cpu_microseconds"] == {"worker": 1000.0, "children": 1000.0, "others": 1000.0}
    assert document["busy"] == {"worker": 0.1, "child": 0.05, "machine": 0.075}
    assert document["limit"] == limit_of(IDLE)


def test_failed_attempts_are_in_the_text() -> None:
    """A run whose attempts failed is not read as a good one."""
    assert "FAILED" not in RESULT.text()
    assert "; 7 attempts FAILED" in replace(RESULT, failed=7).text()
