"""What two looks at the queues of a site say together."""

from collections.abc import Mapping
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from bridge.brokers.contract.operating import QueueCounts, SiteCounts
from bridge.handling import Priority
from bridge.queues import Queue
from bridge.status import QueueStatus, WorkerStatus
from tests.unit.bridge.statuses import SERVING, WORKER
from worker.operating.looks import Look, OpenBreaker, Rates, rates
from worker.operating.queue_acts import Overview, QueueLine
from worker.operating.queue_pages import line_to_json, print_overview

HELD = QueueStatus(live=True, breaker="its breaker: away")


def worker(held: int, settled: int, *, age: float = 60.0) -> WorkerStatus:
    """Return a worker of the queue `mail`."""
    queues = {"mail": QueueStatus(live=True, held=held, settled=settled)}
    return replace(WORKER, age=age, serving=replace(SERVING, queues=queues))


def look(
    time: float, ready: int, workers: Mapping[str, WorkerStatus] | None = None, *, held: int | None = None
) -> Look:
    """Return a look at the queue `mail`; `held` is what the broker counts."""
    counts = QueueCounts({Priority.NORMAL: ready, Priority.HIGH: 0}, held, None, 1)
    return Look(time, SiteCounts({"mail": counts}, 0), {} if workers is None else workers)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (look(0, 5), look(2, 5), Rates(0, 0)),
        (look(0, 5), look(2, 9), Rates(2, 0)),  # nobody takes them
        (look(0, 9), look(2, 5), Rates(0, 0)),  # purged, or taken by another program
        (look(0, 9, {"a": worker(1, 10)}), look(2, 7, {"a": worker(1, 12)}), Rates(0, 1)),
        (look(0, 0, {"a": worker(0, 10)}), look(2, 0, {"a": worker(0, 30)}), Rates(10, 10)),
        (look(0, 4, {"a": worker(0, 0)}), look(2, 0, {"a": worker(4, 0)}), Rates(0, 0)),  # taken and not settled
        (look(0, 4, held=0), look(2, 0, held=4), Rates(0, 0)),
        (
            look(0, 0, {"a": worker(2, 0)}),
            look(2, 0, {"a": worker(0, 2), "b": worker(0, 4, age=1)}),
            Rates(2, 3),  # one has just started
        ),
        (look(0, 0, {"a": worker(0, 5)}), look(2, 0, {"a": worker(0, 5), "b": worker(9, 999)}), Rates(0, 0)),
        (look(0, 0, {"a": worker(9, 999), "b": worker(0, 5)}), look(2, 0, {"b": worker(0, 7)}), Rates(1, 1)),
    ],
)
def test_rates(before: Look, after: Look, expected: Rates) -> None:
    """What came in is what the queue has grown by and what was settled. Workers of one look alone do not count."""
    assert rates(before, after, "mail") == expected


def test_what_is_not_known() -> None:
    """There are no rates without a queue or without workers that could be asked, and none within no time."""
    nobody = replace(look(0, 5), workers=None)
    assert rates(look(0, 5), look(2, 5), "other") is None
    assert rates(nobody, look(2, 5), "mail") is None
    assert rates(look(2, 5), look(2, 5), "mail") is None
    assert (nobody.held("mail"), replace(look(0, 5, held=3), workers=None).held("mail")) == (None, 3)


def test_what_is_in_hand() -> None:
    """The broker's count, or the sum of what the workers hold."""
    workers = {"a": worker(2, 0), "b": worker(3, 0)}
    assert (look(0, 5, workers).held("mail"), look(0, 5, workers, held=9).held("mail")) == (5, 9)
    assert look(0, 5, workers).held("other") is None


def test_the_breakers_of_workers() -> None:
    """Of those that answered and serve the queue; none if the workers could not be asked."""
    away = replace(WORKER, host="web1", pid=17, serving=replace(SERVING, queues={"mail": HELD}))
    seen = look(0, 5, {"a": away, "b": worker(0, 0)})
    assert seen.breakers("mail") == (OpenBreaker("web1:17", "its breaker: away"),)
    assert (seen.serving("mail"), seen.serving("other"), seen.breakers("other")) == (2, 0, ())
    assert replace(seen, workers=None).breakers("mail") == ()


@pytest.mark.parametrize(("serving", "by"), [(1, "web1:17"), (12, "1 of 12 workers")])
def test_a_line_about_a_held_queue(serving: int, by: str) -> None:
    """With the command that probes."""
    breakers = (OpenBreaker("web1:17", "its breaker: away"),)
    line = QueueLine(Queue("mail"), look(0, 5).counts.queues["mail"], (), breakers=breakers, serving=serving)
    output = StringIO()
    console = Console(file=output, width=200)
    print_overview(console, Overview("broker", (line, QueueLine(Queue("other"), None, ())), (), 0, 0, 1.0, ""))
    assert f"queue mail: held by {by}: its breaker: away\n" in output.getvalue()
    assert "bridge-queues probe mail" in output.getvalue()
    assert line_to_json(line)["breakers"] == [{"worker": "web1:17", "why": "its breaker: away"}]
