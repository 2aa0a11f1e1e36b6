"""The deadline of an operation."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bridge.deadline import Deadline

SECONDS = some.floats(0, 1e6)


@pytest.mark.parametrize(
    ("now", "remaining", "expired"), [(100.0, 5.0, False), (104.5, 0.5, False), (105.0, 0.0, True), (999.0, 0.0, True)]
)
def test_remaining_time(now: float, remaining: float, expired: bool) -> None:
    """The remaining time never falls below 0."""
    deadline = Deadline.after(5.0, 100.0)

    assert deadline.remaining(now) == remaining
    assert deadline.expired(now) is expired


@pytest.mark.parametrize(
    ("budget", "now", "left_first", "left_in_all"),
    [(1.0, 100.0, 0.5, 1.0), (10.0, 100.0, 9.0, 10.0), (10.0, 109.0, 0.5, 1.0), (1.0, 200.0, 0.0, 0.0)],
)
def test_reserve_for_a_second_step(budget: float, now: float, left_first: float, left_in_all: float) -> None:
    """`reserving(0.5, 1.0)` reserves half of the remaining time, but at most one second."""
    deadline = Deadline.after(budget, 100.0)

    assert deadline.reserving(0.5, 1.0, now).remaining(now) == left_first
    assert deadline.remaining(now) == left_in_all


def test_messages_name_the_budget() -> None:
    """A deadline keeps the budget that it was made from; the earlier deadline of a first step keeps its own part."""
    deadline = Deadline.after(5.0, 100.0)

    assert deadline.budget == 5.0
    assert deadline.reserving(0.5, 1.0, 100.0).budget == 4.0


@pytest.mark.parametrize(("now", "remaining"), [(100.0, 5.0), (104.8, 0.2), (104.95, 0.1), (200.0, 0.1)])
def test_at_least(now: float, remaining: float) -> None:
    """`at_least` extends a deadline that leaves too little time, and keeps any other deadline."""
    assert Deadline.after(5.0, 100.0).at_least(0.1, now).remaining(now) == pytest.approx(remaining)


@given(budget=SECONDS, start=SECONDS, waited=SECONDS, share=some.floats(0, 1), at_most=SECONDS)
def test_a_reserve_only_shortens(budget: float, start: float, waited: float, share: float, at_most: float) -> None:
    """The deadline of the first step is never later than the deadline of the whole operation."""
    deadline, now = Deadline.after(budget, start), start + waited

    assert deadline.reserving(share, at_most, now).at <= deadline.at
