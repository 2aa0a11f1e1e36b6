"""The decision when a child has served long enough."""

import pytest

from worker.pool.recycling import JITTER, RecyclingLimits, Wear

MIB = 1024**2


@pytest.mark.parametrize(
    ("limits", "wear", "why"),
    [
        (RecyclingLimits(), Wear(10**9, 10**9, 10**12), None),
        (RecyclingLimits(requests=100), Wear(99, 0, 0), None),
        (RecyclingLimits(requests=100), Wear(100, 0, 0), "recycled after 100 requests"),
        (RecyclingLimits(age=60), Wear(0, 59.9, 0), None),
        (RecyclingLimits(age=60), Wear(0, 60, 0), "recycled after 60.0 s"),
        (RecyclingLimits(memory=100 * MIB), Wear(0, 0, 100 * MIB - 1), None),
        (RecyclingLimits(memory=100 * MIB), Wear(0, 0, 100 * MIB), "recycled at 100 MiB"),
    ],
)
def test_a_limit_is_reached(limits: RecyclingLimits, wear: Wear, why: str | None) -> None:
    """Each of the three limits counts; 0 sets no limit."""
    assert limits.reached(wear) == why


def test_chance_spreads_the_limits_of_children() -> None:
    """A child's own limit is up to a tenth lower, never above the limit, and never 0 requests."""
    limits = RecyclingLimits(1000, 100.0, 5 * MIB)
    assert limits.for_one(0.0) == limits
    assert limits.for_one(1.0) == RecyclingLimits(round(1000 * (1 - JITTER)), 100 * (1 - JITTER), 5 * MIB)
    assert RecyclingLimits(requests=1).for_one(1.0).requests == 1
    assert RecyclingLimits().for_one(1.0) == RecyclingLimits()
