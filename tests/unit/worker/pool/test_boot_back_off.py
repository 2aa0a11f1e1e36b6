"""The back-off of boots while children fail."""

from worker.pool.boot_back_off import BOOT_BACK_OFF, BootBackOff


def test_each_failure_doubles_the_wait_to_a_limit() -> None:
    """The waits are half a second, one, two, …, and at most thirty."""
    back_off, now, waits = BootBackOff(lambda: 0.0), 100.0, []
    for _ in range(9):
        back_off.failed(now)
        waits.append(back_off.wait(now))
        now += waits[-1]
    assert waits == [0.5, 1, 2, 4, 8, 16, BOOT_BACK_OFF.at_most, BOOT_BACK_OFF.at_most, BOOT_BACK_OFF.at_most]


def test_chance_takes_at_most_half_off() -> None:
    """Many workers do not boot at the same moment then."""
    back_off = BootBackOff(lambda: 1.0)
    back_off.failed(100.0)
    assert back_off.wait(100.0) == 0.25


def test_a_failure_during_a_wait_is_not_counted() -> None:
    """Four children that fail for the same reason are one failure."""
    back_off = BootBackOff(lambda: 0.0)
    for now in (100.0, 100.1, 100.2, 100.3):
        back_off.failed(now)
    assert round(back_off.wait(100.3), 6) == 0.2
    back_off.failed(101.0)
    assert back_off.wait(101.0) == 1.0


def test_a_healthy_child_ends_the_back_off() -> None:
    """Only a child that was ready after the last failure counts: older ones prove nothing about children that boot."""
    back_off = BootBackOff(lambda: 0.0)
    back_off.failed(100.0)
    back_off.well(born=99.0)
    assert back_off.failing
    back_off.well(born=100.5)
    assert (back_off.failing, back_off.wait(100.1)) == (False, 0.0)
