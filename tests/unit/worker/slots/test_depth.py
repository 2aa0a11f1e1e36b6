"""How many requests are sent to a child."""

import pytest

from worker.slots.depth import WORK_SENT, Depth


@pytest.mark.parametrize(
    ("seconds", "expected"), [(WORK_SENT / 100, 16), (WORK_SENT / 4.5, 4), (WORK_SENT / 1.5, 1), (60.0, 1)]
)
def test_as_many_are_sent_as_take_some_milliseconds(seconds: float, expected: int) -> None:
    """At most what the setting says, and one at least."""
    depth = Depth(16)
    for _ in range(100):
        depth.note(seconds, seconds)
    assert depth.requests == expected


def test_it_begins_with_one_and_grows_with_fast_events() -> None:
    """Nothing is known of a new child."""
    depth = Depth(16)
    depths = [depth.requests]
    for _ in range(50):
        depth.note(0.0002, 0.0002)
        depths.append(depth.requests)
    assert depths[0] == 1
    assert depths == sorted(depths)
    assert depths[-1] == 16


def test_one_slow_event_ends_it() -> None:
    """The next ones go one by one, until they are fast again."""
    depth = Depth(16)
    for _ in range(100):
        depth.note(0.0001, 0.0001)
    depth.note_slow()
    assert depth.requests == 1
    for _ in range(50):
        depth.note(0.0001, 0.0001)
    assert depth.requests == 16


def test_events_that_end_together_count_as_many() -> None:
    """Their replies were read at once."""
    one_by_one, together = Depth(16), Depth(16)
    for _ in range(6):
        one_by_one.note(0.0002, 0.0002)
    together.note(0.0002, 0.0002, 6)
    assert together.seconds == pytest.approx(one_by_one.seconds)


@pytest.mark.parametrize(
    ("clock", "cpu", "expected"),
    [
        pytest.param(0.0004, 0.0003, 0.0003, id="waited for a CPU or for the worker"),
        pytest.param(0.0008, 0.0001, 0.0004, id="half of the time is its own"),
        pytest.param(0.0008, 0.0006, 0.0006, id="most is CPU"),
        pytest.param(0.0008, 0.0016, 0.0008, id="other threads have used CPU"),
    ],
)
def test_an_event_takes_its_cpu_time_and_a_share_of_the_rest(clock: float, cpu: float, expected: float) -> None:
    """On a busy machine an event takes longer by the clock, and the line must not be shorter because of that."""
    depth = Depth(16)
    for _ in range(100):
        depth.note(clock, cpu)
    assert depth.seconds == pytest.approx(expected, rel=0.001)
