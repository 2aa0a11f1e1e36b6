"""What the screen Now thinks of a queue, by its counts and rates."""

import pytest

from bridge.brokers.contract.operating import QueueCounts
from bridge.handling import Priority
from bridge.queues import Queue
from deferred_event_bridge.dashboard.judging import judge
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


def test_a_queue_that_nobody_declared_is_no_fault() -> None:
    """It waits for its first worker."""
    assert judge(QueueLine(Queue("mail"), None, ())).level == "wait"
