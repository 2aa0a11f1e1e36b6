"""How long to wait when children fail."""

from worker.pool.back_off import AT_MOST, BackOff


def test_each_failure_doubles_the_wait_to_a_limit() -> None:
    """Half a second, one, two, … and no more than thirty."""
    back_off, now, waits = BackOff(lambda: 0.0), 100.0, []
    for _ in range(9):
        back_off.failed(now)
        waits.append(back_off.wait(now))
        now += waits[-1]
    assert waits == [0.5, 1, 2, 4, 8, 16, AT_MOST, AT_MOST, AT_MOST]


def test_chance_takes_at_most_half_off() -> None:
    """So that many workers do not boot in step."""
    back_off = BackOff(lambda: 1.0)
    back_off.failed(100.0)
    assert back_off.wait(100.0) == 0.25


def test_what_fails_while_it_waits_is_not_counted_again() -> None:
    """Four children that die of one cause are one failure."""
    back_off = BackOff(lambda: 0.0)
    for now in (100.0, 100.1, 100.2, 100.3):
        back_off.failed(now)
    assert round(back_off.wait(100.3), 6) == 0.2
    back_off.failed(101.0)
    assert back_off.wait(101.0) == 1.0


def test_a_child_that_does_well_ends_it() -> None:
    """But only one that was ready after the last failure: the others prove nothing about those that boot now."""
    back_off = BackOff(lambda: 0.0)
    back_off.failed(100.0)
    back_off.well(born=99.0)
    assert back_off.failing
    back_off.well(born=100.5)
    assert (back_off.failing, back_off.wait(100.1)) == (False, 0.0)
