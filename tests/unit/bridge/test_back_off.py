"""The waits of a back-off."""

from itertools import islice

from bridge.back_off import BackOff


def test_the_waits_double_up_to_the_longest() -> None:
    """Without jitter the waits double exactly, and then stay at the longest wait."""
    waits = list(islice(BackOff(0.5, 30.0).waits(lambda: 0.0), 9))

    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_chance_takes_at_most_the_jitter_off() -> None:
    """Jitter shortens a wait by at most its share: half of the wait by default, the whole wait at 1."""
    assert BackOff(1.0, 8.0).wait(2, 1.0) == 1.0
    assert BackOff(1.0, 8.0, jitter=1.0).wait(2, 1.0) == 0.0
    assert BackOff(1.0, 8.0, jitter=1.0).wait(2, 0.25) == 1.5


def test_the_wait_stays_finite_after_a_very_long_outage() -> None:
    """A million failures do not overflow a float."""
    assert BackOff(0.1, 10.0).wait(1_000_000, 0.0) == 10.0
