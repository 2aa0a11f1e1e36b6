"""The classes for listeners: `Event`, `Retry`, `Snooze`, `Reject` and `Halt`."""

import json
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from app_adapter.listener_api import Event, Halt, Reject, Retry, Snooze, event_of
from bridge.request import Replay

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def received(data: bytes, content_type: str) -> object:
    """Return the payload that a listener receives."""
    return event_of(a_replay(data, content_type), Headers(), json.loads).payload


def a_replay(data: bytes = b"{}", content_type: str = "application/json") -> Replay:
    """Return the second attempt of an event."""
    return Replay("id", "order.paid", "till", NOW, content_type, data, None, 2, "orders", ())


def test_a_listeners_event_is_the_replays() -> None:
    """All its fields are there, and none can be set."""
    replay, headers = a_replay(), Headers()
    event = event_of(replay, headers, json.loads)

    made = Event("id", "order.paid", b"{}", "application/json", NOW, "till", 2, "orders", headers, json.loads)
    assert (event, repr(event)) == (made, repr(made))
    with pytest.raises(FrozenInstanceError):
        event.name = "other"  # type: ignore[misc]  # it is frozen


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/cloudevents+json"]
)
def test_json_is_decoded(content_type: str) -> None:
    """The payload of a JSON content type is the decoded data."""
    assert received(b'{"id": 17}', content_type) == {"id": 17}


@pytest.mark.parametrize("content_type", ["application/octet-stream", "text/plain", "", "application/jsonish"])
def test_other_data_is_left_as_it_is(content_type: str) -> None:
    """The payload of any other content type is the bytes."""
    assert received(b"\xff{}", content_type) == b"\xff{}"


def test_broken_json_is_a_value_error() -> None:
    """Invalid JSON raises when `payload` is read, and not before."""
    with pytest.raises(ValueError, match="Expecting"):
        received(b"{", "application/json")


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        (None, None),
        (0, 0.0),
        (2.5, 2.5),
        (timedelta(minutes=1), 60.0),
        (NOW + timedelta(seconds=9), 9.0),
        (NOW - timedelta(seconds=9), 0.0),
    ],
)
def test_retry_says_when(after: float | timedelta | datetime | None, seconds: float | None) -> None:
    """A wait is seconds, a timedelta or a datetime. After a past datetime there is no wait."""
    assert Retry(after=after).seconds(NOW) == seconds
    assert Snooze(after=after).seconds(NOW) == seconds


@pytest.mark.parametrize("after", ["5", True, datetime(2030, 1, 1), object()])
def test_retry_refuses_other_types(after: Any) -> None:
    """Any other type is a TypeError that names the value."""
    with pytest.raises(TypeError, match=r"Retry.*expected seconds, a timedelta or a datetime with a time zone"):
        Retry(after=after)
    with pytest.raises(TypeError, match=r"Snooze.*expected seconds, a timedelta or a datetime with a time zone"):
        Snooze(after=after)


@pytest.mark.parametrize("after", [-1, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_retry_refuses_a_negative_time(after: float | timedelta) -> None:
    """A negative or infinite time is a ValueError."""
    with pytest.raises(ValueError, match="not negative"):
        Retry(after=after)


def test_reject_gives_its_reason() -> None:
    """The reason is the message."""
    assert [str(kind("no such account")) for kind in (Reject, Halt)] == ["no such account"] * 2
