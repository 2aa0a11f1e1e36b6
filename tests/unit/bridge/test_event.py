"""Event ids and times."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from bridge.event import event_id, moment, timestamp

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)


def test_an_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    """RFC 9562: 48 bits of milliseconds, then version, randomness, variant."""
    made = uuid.UUID(event_id(NOW, b"\xff" * 10))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(NOW.timestamp() * 1000)


def test_ids_sort_by_time_whatever_the_randomness() -> None:
    """A later millisecond is a greater id."""
    assert event_id(NOW, b"\xff" * 10) < event_id(NOW + timedelta(milliseconds=1), b"\0" * 10)


def test_a_time_keeps_its_microseconds_on_the_way() -> None:
    """What is written is what is read, in UTC."""
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert timestamp(there) == "2026-05-04T03:02:01.123456Z"
    assert moment(timestamp(there)) == NOW


@pytest.mark.parametrize("text", ["", "yesterday", "2026-05-04T03:02:01"])
def test_a_time_without_an_offset_is_none(text: str) -> None:
    """A local time of unknown place is no moment."""
    with pytest.raises(ValueError, match=r".+"):
        moment(text)
