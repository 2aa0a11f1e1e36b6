"""Rates: what a bucket lets through, and how many workers share it."""

import pytest

from bridge.rate import Rate
from bridge.rates import FIRST_SECONDS, GONE_SECONDS, LEARN_SECONDS, Bucket, Limit, Sharers

TEN = Limit(Rate(10, "s"))
HUGE, TINY = f"{'9' * 400}/s", f"0.{'0' * 320}1/h"
"""Rates that a float takes for infinite, and for nothing."""


@pytest.mark.parametrize(("text", "per_second"), [("10/s", 10), ("30/m", 0.5), (" 1.5 / h ", 1.5 / 3600)])
def test_a_rate(text: str, per_second: float) -> None:
    """A number of events in a second, a minute or an hour."""
    assert Rate.parsed(text).per_second == per_second


@pytest.mark.parametrize("value", ["", "10", "10/d", "0/s", "-1/s", "1e3/s", "inf/s", HUGE, TINY, 10, None])
def test_no_rate(value: object) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="expected a rate above 0"):
        Rate.parsed(value)


def begun(bucket: Bucket, seconds: float) -> list[float]:
    """The times at which events begin that are always there, from 0 on."""
    now, times = 0.0, list[float]()
    while now < seconds:
        now += bucket.wait(now)
        bucket = bucket.taken(now)
        times.append(now)
    return times


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("burst", [1, 4])
def test_the_sum_of_the_shares_is_the_rate(workers: int, burst: int) -> None:
    """In no window do more events begin than the rate and the burst allow, and in the long run no fewer."""
    limit = Limit(Rate(10, "s"), burst)
    times = sorted(time for _ in range(workers) for time in begun(Bucket.of(limit, workers, 0.0), 20.0))

    most = max(burst, workers)
    for first, time in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= 10 * (times[last] - time) + most + 1e-6
    assert len(times) >= 190


def test_a_burst_after_a_pause() -> None:
    """After a pause the burst begins at once, and then the rate holds."""
    bucket = Bucket.of(Limit(Rate(1, "s"), 3), 1, 0.0)

    waits = []
    for _ in range(5):
        waits.append(bucket.wait(100.0))
        bucket = bucket.taken(100.0)

    assert waits == [0.0, 0.0, 0.0, 1.0, 2.0]


def test_a_slow_rate_after_a_start() -> None:
    """The first event does not wait for an hour; the second one does."""
    bucket = Bucket.of(Limit(Rate(1, "h")), 1, 0.0)

    assert bucket.wait(0.0) <= FIRST_SECONDS
    assert bucket.taken(FIRST_SECONDS).wait(FIRST_SECONDS) == pytest.approx(3600, abs=FIRST_SECONDS)


def test_events_in_line_have_tokens() -> None:
    """An event that has passed the gate and waits for a slot has its token already."""
    bucket = Bucket(rate=1.0, capacity=2.0, tokens=2.0, at=0.0)

    assert [bucket.wait(0.0, promised) for promised in (0, 1, 2)] == [0.0, 0.0, 1.0]


def test_a_share_that_becomes_smaller() -> None:
    """A second worker halves rate and burst at once."""
    bucket = Bucket.of(Limit(Rate(10, "s"), 4), 1, 0.0).shared(Limit(Rate(10, "s"), 4), 2, 100.0)

    assert (bucket.rate, bucket.capacity, bucket.tokens) == (5.0, 2.0, 2.0)


MAIL = frozenset({"mail"})


def test_who_shares_a_rate() -> None:
    """The workers of the queue that were heard of lately; a goodbye counts at once, and silence after a time."""
    sharers = Sharers("a").after_beat("a", MAIL, 0.0).after_beat("b", MAIL, 0.0).after_beat("c", frozenset(), 0.0)

    assert sharers.count("mail", LEARN_SECONDS - 0.1) is None
    assert sharers.count("mail", LEARN_SECONDS) == 2
    assert sharers.after_goodbye("b").count("mail", LEARN_SECONDS) == 1
    later = sharers.after_beat("a", MAIL, GONE_SECONDS + 0.1)
    assert later.count("mail", GONE_SECONDS + 0.1) == 1


def test_a_worker_that_is_cut_off() -> None:
    """It does not take the others for gone: it does not hear itself either."""
    sharers = Sharers("a").after_beat("a", MAIL, 0.0).after_beat("b", MAIL, 0.0)

    assert sharers.count("mail", 100.0) == 2
    assert Sharers("a").after_beat("b", MAIL, 0.0).count("mail", 100.0) is None
