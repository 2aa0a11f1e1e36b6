"""What a listener is given, and what it may raise."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from app_adapter.received import Reject, Retry, event_of
from bridge.event import Event
from bridge.request import Replay

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def received(data: bytes, content_type: str) -> object:
    """Return the payload that a listener sees."""
    event = Event("id", "order.paid", "till", NOW, content_type, data)
    return event_of(Replay(event, 2, "orders", ()), Headers(), json.loads).payload


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
    """Data that is not the JSON it claims to be raises where it is looked at, and not before."""
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
    """A wait is given as seconds, a timedelta or a moment; one that has passed is no wait."""
    assert Retry(after=after).seconds(NOW) == seconds


@pytest.mark.parametrize("after", ["5", True, datetime(2030, 1, 1), object()])
def test_retry_refuses_what_is_no_time(after: Any) -> None:
    """Anything else is a TypeError that names it."""
    with pytest.raises(TypeError, match="expected seconds, a timedelta or a datetime with a time zone"):
        Retry(after=after)


@pytest.mark.parametrize("after", [-1, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_retry_refuses_a_negative_time(after: float | timedelta) -> None:
    """A time below zero, or without an end, is a ValueError."""
    with pytest.raises(ValueError, match="not negative"):
        Retry(after=after)


def test_reject_gives_its_reason() -> None:
    """The reason is the message."""
    assert str(Reject("no such account")) == "no such account"
