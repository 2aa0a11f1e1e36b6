"""The readiness of a worker: a table of statuses."""

from dataclasses import replace
from typing import Any

import pytest

from bridge.status import QueueStatus, UnreadableStatus, WorkerStatus
from tests.unit.bridge.statuses import SERVING, WORKER
from worker.control.readiness import SLACK, late, why_not

LIVE, IDLE = QueueStatus(live=True), QueueStatus(live=False)


def status(running: int = 0, trouble: str | None = None, **serving: Any) -> WorkerStatus:
    """Return the status of a healthy worker with these changes."""
    return replace(WORKER, running=running, trouble=trouble, serving=replace(SERVING, **serving))


@pytest.mark.parametrize(
    "worker",
    [
        status(),
        status(progress=10_000.0),  # nothing to do for hours
        status(running=2, progress=60.0 + SLACK),  # every slot is busy within its deadline
        status(trouble="the new version cannot boot"),  # the old children keep serving
        status(queues={"mail": QueueStatus(live=True, waits="paused")}),
    ],
)
def test_ready(worker: WorkerStatus) -> None:
    """A ready worker has live consumers on all queues, slots, and recent progress or no events."""
    assert why_not(worker) is None


@pytest.mark.parametrize(
    ("worker", "why"),
    [
        (UnreadableStatus(pid=7, trouble="it does not answer"), "it does not answer"),
        (
            status(queues={"mail": LIVE, "default": IDLE}, why="the connection broke"),
            "it has no live consumer on default: the connection broke",
        ),
        (
            status(queues={"mail": IDLE, "default": IDLE}),
            "it has no live consumer on mail, default: it takes no more events",
        ),
        (status(slots=0), "it has no slot that takes events: no child is warm, no pool can be reached"),
        (status(slots=0, trouble="ImportError: shop"), "it has no slot that takes events: ImportError: shop"),
        (status(running=1, unconfirmed=1), "the broker does not confirm 1 settlement, so no event begins"),
        (
            status(running=2, progress=75.0),
            "no event was settled for 75 s, while it holds 2 events: a replay may last 60 s",
        ),
    ],
)
def test_not_ready(worker: WorkerStatus | UnreadableStatus, why: str) -> None:
    """Each reason has a sentence of its own."""
    assert why_not(worker) == why


@pytest.mark.parametrize(
    ("worker", "seconds"),
    [(status(late=59.0), 0.0), (status(late=75.0), 15.0), (UnreadableStatus(pid=7, trouble="it does not answer"), 0.0)],
)
def test_lateness_begins_after_the_time_that_a_replay_may_take(
    worker: WorkerStatus | UnreadableStatus, seconds: float
) -> None:
    """An event that waits for a slot for as long as one replay may take is not late."""
    assert late(worker) == seconds
