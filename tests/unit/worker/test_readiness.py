"""When a worker is ready: a table of what its status says."""

from typing import Any

import pytest

from worker.readiness import SLACK, why_not

WELL = {
    "queues": {"mail": True, "default": True},
    "why": "",
    "slots": 2,
    "unconfirmed": 0,
    "progress": 0.0,
    "deadline": 60.0,
}


def status(running: int = 0, trouble: str | None = None, **serving: Any) -> dict[str, Any]:
    """A worker's status that is well but for this."""
    return {"running": running, "trouble": trouble, "serving": {**WELL, **serving}}


@pytest.mark.parametrize(
    "said",
    [
        status(),
        status(progress=10_000.0),  # nothing to do for hours
        status(running=2, progress=60.0 + SLACK),  # every slot is busy within its deadline
        status(trouble="the new version cannot boot"),  # the old one goes on
    ],
)
def test_ready(said: dict[str, Any]) -> None:
    """Live consumers on all queues, slots, and recent progress or nothing to do."""
    assert why_not(said) is None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"trouble": "it does not answer"}, "it does not answer"),
        ({"trouble": None}, "it does not say what it serves: it is of another version"),
        (
            status(queues={"mail": True, "default": False}, why="the connection broke"),
            "it has no live consumer on default: the connection broke",
        ),
        (
            status(queues={"mail": False, "default": False}),
            "it has no live consumer on mail, default: it takes no more events",
        ),
        (status(slots=0), "it has no slot that takes events: no child is warm, no pool can be reached"),
        (status(slots=0, trouble="ImportError: shop"), "it has no slot that takes events: ImportError: shop"),
        (status(running=1, unconfirmed=1), "the broker does not confirm 1 settlement, so nothing new is begun"),
        (
            status(running=2, progress=75.0),
            "nothing was settled for 75 s, with 2 events in hand: a replay may last 60 s",
        ),
    ],
)
def test_not_ready(said: dict[str, Any], why: str) -> None:
    """Each reason has its sentence."""
    assert why_not(said) == why
