"""The prefetch: the number of deliveries that a worker holds."""

import pytest

from worker.events.prefetch import FAST, HELD_WHILE_FAST, SLOW, Pace


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
def test_the_pace_changes_only_beyond_its_bounds(before: bool, rate: float, after: bool) -> None:
    """The bounds are in events per second and slot. No event at all is slow."""
    assert Pace(before).after(int(rate * 2 * 3), 2.0, 3).fast is after


def test_a_slow_worker_holds_one_delivery_for_each_slot() -> None:
    """Other workers can run the other events."""
    assert Pace().prefetch({"mail": 4}, slots=4) == {"mail": 4}


def test_a_fast_worker_holds_more_but_not_of_a_queue_with_slots_of_its_own() -> None:
    """Further deliveries of such a queue would only wait at the gate."""
    assert Pace(fast=True, times=2).prefetch({"mail": 4, "reports": 1}, slots=4) == {
        "mail": 4 * 2 * HELD_WHILE_FAST,
        "reports": 1,
    }


@pytest.mark.parametrize(("rate", "held"), [(FAST, 32), (500, 32), (900, 64), (1500, 64), (2000, 128), (50_000, 128)])
def test_the_faster_events_are_the_more_are_held(rate: float, held: int) -> None:
    """The faster the events, the more a worker holds: up to eight times what may be in flight."""
    pace = Pace().after(int(rate * 4), 1.0, 4, in_flight=16)
    assert pace.prefetch({"mail": 4}, slots=4, held_while_fast=16) == {"mail": 4 * held}


def test_a_step_down_is_taken_late() -> None:
    """A change costs a consumer of RabbitMQ, so a rate that goes up and down changes nothing."""
    pace = Pace()
    held = []
    for rate in (2000, 900, 2500, 600, 3000, 600, 100, 2000):
        pace = pace.after(rate, 1.0, 1, in_flight=16)
        held.append(pace.times)
    assert held == [8, 8, 8, 8, 8, 8, 2, 8]
