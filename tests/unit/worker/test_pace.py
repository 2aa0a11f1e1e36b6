"""How many deliveries a worker holds."""

import pytest

from worker.pace import FAST, HELD_WHILE_FAST, SLOW, Pace


@pytest.mark.parametrize(
    ("before", "rate", "after"),
    [
        (False, FAST - 1, False),
        (False, FAST, True),
        (True, SLOW, True),
        (True, SLOW - 1, False),
        (True, 0, False),
    ],
)
def test_the_pace_changes_past_its_bounds_only(before: bool, rate: float, after: bool) -> None:
    """By events per second and slot; a stall is slow."""
    assert Pace(before).after(int(rate * 2 * 3), 2.0, 3) == Pace(after)


def test_a_slow_worker_holds_what_it_can_run() -> None:
    """The rest could run elsewhere."""
    assert Pace().prefetch({"mail": 4}, slots=4) == {"mail": 4}


def test_a_fast_worker_holds_more_but_not_of_a_queue_with_slots_of_its_own() -> None:
    """`slots` of a queue bound what is in flight."""
    assert Pace(fast=True).prefetch({"mail": 4, "reports": 1}, slots=4) == {"mail": 4 * HELD_WHILE_FAST, "reports": 1}
