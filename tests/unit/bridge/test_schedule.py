"""The moments of a schedule, and which of them are due."""

import random
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

import pytest

from bridge.schedule import (
    CLOCK_ERROR,
    Decided,
    Due,
    Schedule,
    begins_anew,
    check_cron,
    check_timezone,
    due,
    read_record,
    record,
)

BERLIN = "Europe/Berlin"
"""Its clock skips 02:00 to 03:00 on 2026-03-29, and shows 02:00 to 03:00 twice on 2026-10-25."""

HOUR = timedelta(hours=1)


def schedule(cron: str, timezone: str = BERLIN, catch_up: timedelta = HOUR) -> Schedule:
    return Schedule("nightly", "report.nightly", cron, timezone, b"{}", catch_up)


def utc(text: str) -> datetime:
    """The time of a text such as "03-29 01:00" in 2026, in UTC."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "after", "moments"),
    [
        pytest.param("0 3 * * *", "06-01 12:00", ["06-02 01:00", "06-03 01:00"], id="the time of its zone"),
        pytest.param("30 2 * * *", "03-28 12:00", ["03-29 01:00", "03-30 00:30"], id="skipped: at the end of the gap"),
        pytest.param("0 30 2 * * *", "03-28 12:00", ["03-29 01:00", "03-30 00:30"], id="skipped, with seconds"),
        pytest.param("*/20 2 * * *", "03-29 00:00", ["03-29 01:00", "03-30 00:00"], id="three skipped: one moment"),
        pytest.param("30 */2 * * *", "03-29 00:00", ["03-29 01:00", "03-29 02:30"], id="every second hour, skipped"),
        pytest.param("30 2 * * *", "10-24 12:00", ["10-25 00:30", "10-26 01:30"], id="shown twice: the first time"),
        pytest.param("30 2 * * *", "10-25 00:45", ["10-26 01:30"], id="asked between the two"),
        pytest.param("30 2 * * *", "10-25 01:15", ["10-26 01:30"], id="asked in the second hour"),
        pytest.param("0 * * * *", "03-29 00:00", ["03-29 01:00", "03-29 02:00"], id="every hour, one is skipped"),
        pytest.param("0 * * * *", "10-24 23:30", ["10-25 00:00", "10-25 01:00", "10-25 02:00"], id="every hour, two"),
        pytest.param("*/30 * * * *", "10-25 00:30", ["10-25 01:00", "10-25 01:30"], id="the second of two hours"),
    ],
)
def test_the_moments_around_a_change_of_the_clock(cron: str, after: str, moments: list[str]) -> None:
    """No moment comes twice, and none is lost without a moment in its place."""
    found = list(islice(schedule(cron).moments(utc(after)), len(moments)))

    assert found == [utc(each) for each in moments]


@pytest.mark.parametrize("timezone", [BERLIN, "Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "UTC"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 * * * *", "10 */2 * * *", "0 0 * * *", "15 1-3 * * *"])
@pytest.mark.parametrize("day", [datetime(2026, 3, 28), datetime(2026, 10, 24), datetime(2011, 12, 29)])
def test_the_next_moment_does_not_depend_on_when_it_is_asked(timezone: str, cron: str, day: datetime) -> None:
    """Asked at any time between two moments, also during a change of the clock, the next one is the same."""
    asked, begin = schedule(cron, timezone), day.replace(tzinfo=UTC)
    end, chance = begin + timedelta(days=3), random.Random(cron)
    moments = list(takewhile(lambda moment: moment < end, asked.moments(begin)))

    for _ in range(20):
        at = begin + (moments[-1] - begin) * chance.random()
        assert next(asked.moments(at)) == next(moment for moment in moments if moment > at)


def decided(through: str, cron: str = "0 * * * *") -> Decided:
    return Decided(utc(through), schedule(cron).definition)


@pytest.mark.parametrize(
    ("through", "now", "expected"),
    [
        pytest.param("06-01 12:00", "06-01 12:59", Due(()), id="nothing yet"),
        pytest.param("06-01 12:00", "06-01 13:00", Due((utc("06-01 13:00"),)), id="at the moment"),
        pytest.param("06-01 13:00", "06-01 13:00", Due(()), id="decided"),
        pytest.param("06-01 12:00", "06-01 14:30", Due((utc("06-01 14:00"),), utc("06-01 13:00")), id="one is too old"),
        pytest.param("06-01 12:59", "06-01 14:00", Due((utc("06-01 13:00"), utc("06-01 14:00"))), id="two in time"),
        pytest.param("06-01 15:00", "06-01 14:00", Due(()), id="the clock was set back"),
    ],
)
def test_the_moments_that_are_due(through: str, now: str, expected: Due) -> None:
    """A missed moment is due while it is no older than `catch_up`; a decided moment never is."""
    assert due(schedule("0 * * * *"), decided(through), utc(now)) == expected


def test_many_moments_are_due_in_parts() -> None:
    """At most so many moments are returned; the next ones follow when those are decided."""
    every_second = schedule("* * * * * *", catch_up=timedelta(days=1))

    found = due(every_second, Decided(utc("06-01 12:00"), every_second.definition), utc("06-01 20:00"), at_most=3)

    assert found.moments == tuple(utc(f"06-01 12:00:0{second}") for second in (1, 2, 3))


def test_a_schedule_begins_anew() -> None:
    """If it is new, if its moments have changed, or if the clock was far ahead; not if the clock was set back a bit."""
    now, hourly = utc("06-01 12:00"), schedule("0 * * * *")

    assert begins_anew(hourly, None, now)
    assert begins_anew(schedule("0 3 * * *"), decided("06-01 11:00"), now)
    assert begins_anew(hourly, Decided(now + 2 * CLOCK_ERROR, hourly.definition), now)
    assert not begins_anew(hourly, Decided(now + CLOCK_ERROR / 2, hourly.definition), now)


def test_a_record_can_be_read_again() -> None:
    """And what is no record of a schedule is left out."""
    assert read_record(record("nightly", decided("06-01 12:00"))) == ("nightly", decided("06-01 12:00"))
    assert read_record({"schedule": "nightly", "through": "soon", "definition": ""}) is None
    assert read_record({"schedule": 17}) is None


def test_the_id_is_that_of_the_moment() -> None:
    """The same moment of the same schedule of a site has one id, and any other has another."""
    nightly, one, other = schedule("0 3 * * *"), utc("06-01 01:00"), utc("06-02 01:00")

    events = [
        nightly.event_at(one, "shop", "a"),
        nightly.event_at(one, "shop", "b"),
        nightly.event_at(other, "shop", "a"),
    ]
    elsewhere = nightly.event_at(one, "bakery", "a")

    assert events[0].id == events[1].id
    assert len({events[0].id, events[2].id, elsewhere.id}) == 3
    assert (events[0].time, events[0].name, events[0].data) == (one, "report.nightly", b"{}")


def test_the_moments_in_words() -> None:
    """A person can read when a schedule runs."""
    assert schedule("0 3 * * *").words == "At 03:00 every day (Europe/Berlin)"


@pytest.mark.parametrize("text", ["", "x", "61 * * * *", "* * *", "@daily", "0 0 30 2 *", "0 0 0 0 0 0 0"])
def test_no_cron_expression(text: str) -> None:
    """A text that is none, or that has no moment, is refused."""
    with pytest.raises(ValueError, match="expected a cron expression"):
        check_cron(text)


@pytest.mark.parametrize("text", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe", "\0"])
def test_no_timezone(text: str) -> None:
    """A text that names no time zone is refused."""
    with pytest.raises(ValueError, match="expected the name of a time zone"):
        check_timezone(text)
