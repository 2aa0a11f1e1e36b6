"""What `defer()` makes of its arguments."""

import dataclasses
import json
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask

from app_adapter.defer import due_of, make_event
from bridge.errors import DeferError, InvalidName, InvalidPayload, TooLarge
from bridge.event import Event

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def event(name: object = "order.paid", payload: object = None, **changes: Any) -> Event:
    """Make an event as an app of the plainest kind does."""
    arguments: dict[str, Any] = {
        "content_type": None,
        "source": "shop",
        "dumps": Flask("shop").json.dumps,
        "max_body": 1000,
        "traceparent": None,
        "now": NOW,
    }
    return make_event(name, payload, **(arguments | changes))


def test_an_event_is_complete() -> None:
    """It has a UUIDv7 of the moment, its name, source, time and type."""
    made = event(payload={"id": 17})

    assert uuid.UUID(made.id).version == 7
    assert (made.name, made.source, made.time) == ("order.paid", "shop", NOW)
    assert (made.content_type, json.loads(made.data)) == ("application/json", {"id": 17})


@dataclasses.dataclass
class Line:
    """A payload as apps have them."""

    sku: str


@pytest.mark.parametrize(
    ("payload", "written"),
    [
        (None, None),
        ("text", "text"),
        ([1, "ü\ud800"], [1, "ü\ud800"]),
        (Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (date(2030, 1, 2), "Wed, 02 Jan 2030 00:00:00 GMT"),
        (Line("a"), {"sku": "a"}),
        ("NaN and Infinity", "NaN and Infinity"),
    ],
)
def test_a_payload_is_written_by_the_apps_json_provider(payload: object, written: object) -> None:
    """Whatever jsonify takes is taken, a str among it."""
    assert json.loads(event(payload=payload).data) == written


@pytest.mark.parametrize("payload", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")])
def test_bytes_pass_through(payload: object) -> None:
    """They are data as they are, of no type but the one that is given."""
    assert event(payload=payload).data == b"\x00\xff"
    assert event(payload=payload).content_type == "application/octet-stream"
    assert event(payload=payload, content_type="image/png").content_type == "image/png"


@pytest.mark.parametrize("payload", [float("nan"), {"a": [float("inf")]}, object(), {1: 1, "a": 2}])
def test_what_json_cannot_say_is_refused(payload: object) -> None:
    """NaN, infinity, foreign objects and unsortable keys are InvalidPayload, with the reason."""
    with pytest.raises(InvalidPayload, match="cannot be written as JSON: "):
        event(payload=payload)


def test_a_payload_without_end_is_refused() -> None:
    """A cycle is InvalidPayload like any other."""
    cycle: list[object] = []
    cycle.append(cycle)

    with pytest.raises(InvalidPayload):
        event(payload=cycle)


@pytest.mark.parametrize("content_type", ["", "a\r\nX: y", "ümlaut", " text/plain", "x" * 201, 5])
def test_an_unsafe_content_type_is_refused(content_type: object) -> None:
    """It travels as a header."""
    with pytest.raises(InvalidPayload, match="expected printable ASCII"):
        event(payload=b"", content_type=content_type)


def test_a_json_payload_keeps_a_json_type() -> None:
    """A `+json` type is kept, and no other can be given to what is written as JSON."""
    assert event(payload={}, content_type="application/x+json").content_type == "application/x+json"
    with pytest.raises(InvalidPayload, match="written as JSON; encode it"):
        event(payload="text", content_type="text/plain")


@pytest.mark.parametrize("payload", [b"x" * 11, "x" * 9])
def test_too_large_is_refused(payload: object) -> None:
    """The limit holds for bytes and for JSON as it is written."""
    with pytest.raises(TooLarge, match="11 bytes: expected at most 10"):
        event(payload=payload, max_body=10)


@pytest.mark.parametrize("name", ["", "a..b", "a b", "ä", None, 5, "x" * 201, "bridge.warmup", "bridge.x"])
def test_a_bad_or_reserved_name_is_refused(name: object) -> None:
    """The grammar holds, and what begins with `bridge.` is the bridge's own."""
    with pytest.raises(InvalidName):
        event(name)


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (TRACE, TRACE),
        (None, None),
        ("", None),
        (TRACE.upper(), None),
        (TRACE + "-x", None),
        ("00-" + "0" * 32 + TRACE[35:], None),
        ("ff" + TRACE[2:], None),
        (TRACE + "\n", None),
    ],
)
def test_only_a_well_formed_trace_is_carried(header: str | None, kept: str | None) -> None:
    """Anything but W3C trace context is left out."""
    assert event(traceparent=header).traceparent == kept


@pytest.mark.parametrize(
    ("delay", "at", "due"),
    [
        (None, None, None),
        (0, None, None),
        (1.5, None, NOW + timedelta(seconds=1.5)),
        (timedelta(days=2), None, NOW + timedelta(days=2)),
        (None, NOW, None),
        (None, NOW - timedelta(1), None),
        (None, (NOW + timedelta(1)).astimezone(timezone(timedelta(hours=5))), NOW + timedelta(1)),
    ],
)
def test_when_an_event_is_due(delay: object, at: object, due: datetime | None) -> None:
    """A delay or a moment says when; none of them, or one that has passed, is at once."""
    assert due_of(delay, at, NOW) == due


@pytest.mark.parametrize(
    ("delay", "at", "why"),
    [
        (1, NOW, "expected one of them"),
        (-1, None, "not negative"),
        (float("nan"), None, "not negative"),
        (float("inf"), None, "not negative"),
        (1e300, None, "within the calendar"),
        (True, None, "expected seconds or a timedelta"),
        ("5", None, "expected seconds or a timedelta"),
        (None, datetime(2030, 1, 2), "with a time zone"),
        (None, 5, "with a time zone"),
    ],
)
def test_a_time_that_is_none_is_refused(delay: object, at: object, why: str) -> None:
    """The error names the argument, its value and what was expected."""
    with pytest.raises(DeferError, match=why):
        due_of(delay, at, NOW)
