"""What the screen Now thinks of a queue, by its counts and rates."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bridge.brokers.contract.operating import QueueCounts
from bridge.controls import Pause
from bridge.handling import Priority
from bridge.queues import Queue
from bridge.registry import Roll
from bridge.status import QueueStatus
from deferred_event_bridge.dashboard.judging import Judgement, judge, seconds_in_line
from tests.unit.bridge.statuses import SERVING, WORKER
from worker.operating.looks import Rates
from worker.operating.queue_acts import QueueLine

CASES = [
    (0, 1, Rates(0, 0), "good", "quiet"),
    (3, 1, Rates(5, 5), "good", "keeping up"),
    (1000, 1, Rates(10, 20), "good", "catching up: empty in 1 min"),
    (100_000, 1, Rates(10, 20), "wait", "catching up: empty in 2 h"),
    (1000, 1, Rates(20, 10), "bad", "falling behind by 10.0 a second"),
    (1000, 1, Rates(0, 0), "bad", "stands still: no event was settled"),
    (1, 0, Rates(0, 0), "bad", "no worker takes events from it"),
    (1000, None, None, "wait", "measuring"),
]


@pytest.mark.parametrize(("ready", "consumers", "rates", "level", "text"), CASES)
def test_a_queue_is_judged(ready: int, consumers: int | None, rates: Rates | None, level: str, text: str) -> None:
    """By its backlog, and by how fast it shrinks or grows."""
    counts = QueueCounts({Priority.NORMAL: ready}, 0, 0, consumers)

    judgement = judge(QueueLine(Queue("mail"), counts, (), 0, rates))

    assert (judgement.level, judgement.text) == (level, text)


PAUSE = Pause("p1", "mail", None, None, "ana@web1", "provider down", datetime(2030, 1, 1, tzinfo=UTC))
BREAKER = "its breaker: 5 events in a row failed alike (shop.Down: away), and 2 probes since; the next probe is due"


@pytest.mark.parametrize(
    ("breakers", "level", "text"),
    [
        ([BREAKER], "bad", f"held by {BREAKER}"),
        ([BREAKER, BREAKER], "bad", f"held by {BREAKER}"),
        ([None, BREAKER], "wait", f"1 of 2 workers hold it by {BREAKER}"),
        ([None, None], "good", "keeping up"),
    ],
)
@pytest.mark.parametrize("rates", [None, Rates(0, 0), Rates(0, 1)])
def test_a_queue_that_its_breaker_holds(breakers: list[str | None], level: str, text: str, rates: Rates | None) -> None:
    """The breaker is named, however few events wait, and whether anything is settled or not."""
    line = QueueLine(Queue("mail"), QueueCounts({Priority.NORMAL: 3}, 0, 0, 1), (), 0, rates)

    judgement = judge(line, roll_of(*breakers))

    if rates is not None or any(breakers):
        assert (judgement.level, judgement.text) == (level, text)


def test_a_pause_goes_before_the_breaker() -> None:
    """A person decided it, and it lasts until a person resumes the queue."""
    line = QueueLine(Queue("mail"), QueueCounts({Priority.NORMAL: 3}, 0, 0, 1), (PAUSE,), 0, Rates(0, 0))

    assert judge(line, roll_of(BREAKER)) == Judgement("wait", PAUSE.reason)


def roll_of(*breakers: str | None) -> Roll:
    """Return a roll of workers that serve the queue mail, with these breakers."""
    return Roll(
        tuple(
            replace(WORKER, serving=replace(SERVING, queues={"mail": QueueStatus(live=True, breaker=breaker)}))
            for breaker in breakers
        ),
        (),
    )


@pytest.mark.parametrize(
    ("ready", "rates", "pauses", "expected"),
    [
        (1000, Rates(20, 10), (), 100.0),
        (0, Rates(20, 10), (), 0.0),
        (1000, Rates(20, 0), (), None),
        (1000, None, (), None),
        (1000, Rates(20, 10), (PAUSE,), None),
    ],
)
def test_the_time_in_line_is_known_by_the_present_rate(
    ready: int, rates: Rates | None, pauses: tuple[Pause, ...], expected: float | None
) -> None:
    """Not while nothing is settled, nor of a paused queue."""
    counts = QueueCounts({Priority.NORMAL: ready}, 0, 0, 1)

    assert seconds_in_line(QueueLine(Queue("mail"), counts, pauses, 0, rates)) == expected


def test_a_queue_that_nobody_declared_is_no_fault() -> None:
    """It waits for its first worker."""
    assert judge(QueueLine(Queue("mail"), None, ())).level == "wait"
