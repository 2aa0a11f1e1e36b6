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
        depth.note(seconds)
    assert depth.requests == expected


def test_it_begins_with_one_and_grows_with_fast_events() -> None:
    """Nothing is known of a new child."""
    depth = Depth(16)
    depths = [depth.requests]
    for _ in range(50):
        depth.note(0.0002)
        depths.append(depth.requests)
    assert depths[0] == 1
    assert depths == sorted(depths)
    assert depths[-1] == 16


def test_one_slow_event_ends_it() -> None:
    """The next ones go one by one, until they are fast again."""
    depth = Depth(16)
    for _ in range(100):
        depth.note(0.0001)
    depth.note_slow()
    assert depth.requests == 1
    for _ in range(50):
        depth.note(0.0001)
    assert depth.requests == 16


def test_events_that_end_together_count_as_many() -> None:
    """Their replies were read at once."""
    one_by_one, together = Depth(16), Depth(16)
    for _ in range(6):
        one_by_one.note(0.0002)
    together.note(0.0002, 6)
    assert together.seconds == pytest.approx(one_by_one.seconds)
