"""Event ids and times."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from bridge.event import event_id, format_time, local_time, parse_time

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)


def test_an_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    """An id is a UUIDv7 (RFC 9562): its first 48 bits are the time in milliseconds."""
    made = uuid.UUID(event_id(NOW, b"\xff" * 10))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(NOW.timestamp() * 1000)


def test_ids_sort_by_time_whatever_the_randomness() -> None:
    """An id of a later millisecond is greater, even with smaller random bytes."""
    assert event_id(NOW, b"\xff" * 10) < event_id(NOW + timedelta(milliseconds=1), b"\0" * 10)


def test_a_time_keeps_its_microseconds_on_the_way() -> None:
    """A time is written in UTC with microseconds, and read back unchanged."""
    in_india = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert format_time(in_india) == "2026-05-04T03:02:01.123456Z"
    assert parse_time(format_time(in_india)) == NOW


@pytest.mark.parametrize("text", ["", "yesterday", "2026-05-04T03:02:01"])
def test_a_text_without_a_time_and_an_offset_is_refused(text: str) -> None:
    """A local time without an offset is ambiguous, so it raises `ValueError` like any other text."""
    with pytest.raises(ValueError, match=r".+"):
        parse_time(text)


@pytest.fixture(params=["UTC-9", "UTC+5"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the test in a local time zone that is ahead of UTC, or behind it."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_a_local_time_at_an_end_of_the_calendar() -> None:
    """Any time can be shown, also one that the local zone does not have, as in an event of another publisher."""
    for each in (NOW, datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)):
        assert local_time(each) == each
    assert local_time(NOW).utcoffset() == NOW.astimezone().utcoffset() != timedelta()
