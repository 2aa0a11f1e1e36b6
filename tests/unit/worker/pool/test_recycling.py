"""When a child has served long enough."""

import pytest

from worker.pool.recycling import JITTER, Limits, Wear

MIB = 1024**2


@pytest.mark.parametrize(
    ("limits", "wear", "why"),
    [
        (Limits(), Wear(10**9, 10**9, 10**12), None),
        (Limits(requests=100), Wear(99, 0, 0), None),
        (Limits(requests=100), Wear(100, 0, 0), "recycled after 100 requests"),
        (Limits(age=60), Wear(0, 59.9, 0), None),
        (Limits(age=60), Wear(0, 60, 0), "recycled after 60.0 s"),
        (Limits(memory=100 * MIB), Wear(0, 0, 100 * MIB - 1), None),
        (Limits(memory=100 * MIB), Wear(0, 0, 100 * MIB), "recycled at 100 MiB"),
    ],
)
def test_a_limit_is_reached(limits: Limits, wear: Wear, why: str | None) -> None:
    """By any of the three; 0 sets none."""
    assert limits.reached(wear) == why


def test_chance_spreads_the_children_of_one_age() -> None:
    """By at most a tenth, never above the limit, and never to nothing."""
    limits = Limits(1000, 100.0, 5 * MIB)
    assert limits.for_one(0.0) == limits
    assert limits.for_one(1.0) == Limits(round(1000 * (1 - JITTER)), 100 * (1 - JITTER), 5 * MIB)
    assert Limits(requests=1).for_one(1.0).requests == 1
    assert Limits().for_one(1.0) == Limits()
