"""The event and the due time that `defer()` makes from its arguments."""

import dataclasses
import json
import uuid
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
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
    """Make an event as a plain app does."""
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
    """The event has a UUIDv7 of the current time, its name, source, time and type."""
    made = event(payload={"id": 17})

    assert uuid.UUID(made.id).version == 7
    assert (made.name, made.source, made.time) == ("order.paid", "shop", NOW)
    assert (made.content_type, json.loads(made.data)) == ("application/json", {"id": 17})


@dataclasses.dataclass
class Line:
    """A payload of a kind that apps have."""

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
    """The provider encodes everything that `jsonify` encodes, including a str."""
    assert json.loads(event(payload=payload).data) == written


@pytest.mark.parametrize("payload", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")])
def test_bytes_pass_through(payload: object) -> None:
    """They are data unchanged. Their type is the given one only."""
    assert event(payload=payload).data == b"\x00\xff"
    assert event(payload=payload).content_type == "application/octet-stream"
    assert event(payload=payload, content_type="image/png").content_type == "image/png"


@pytest.mark.parametrize("payload", [float("nan"), {"a": [float("inf")]}, object(), {1: 1, "a": 2}])
def test_a_payload_that_json_cannot_hold_is_refused(payload: object) -> None:
    """NaN, infinity, foreign objects and unsortable keys are InvalidPayload, with the reason."""
    with pytest.raises(InvalidPayload, match="cannot be written as JSON: "):
        event(payload=payload)


class Order:
    """An object that no JSON provider knows."""


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (Order(), "payload cannot be written as JSON: TypeError: Object of type Order"),
        ({"order": Order()}, "payload['order'] cannot be written as JSON: TypeError: Object of type Order"),
        (
            {"lines": [{"sku": "a"}, {"sku": Order()}]},
            "payload['lines'][1]['sku'] cannot be written as JSON: TypeError",
        ),
        ([1, (2, float("nan"))], "payload[1][1] cannot be written as JSON: ValueError: NaN is not JSON"),
        ({"a": {"b": {1: 1, "c": 2}}}, "payload['a']['b'] cannot be written as JSON: TypeError: '<' not supported"),
        ({"a": {(1, 2): 3}}, "payload['a'] cannot be written as JSON: TypeError: keys must be"),
        ({"a": {1, 2}}, "payload['a'] cannot be written as JSON: TypeError"),
        ({"deep": [[[[Order()]]]]}, "payload['deep'][0][0][0][0] cannot be written as JSON: "),
    ],
)
def test_the_place_in_a_payload_is_named(payload: object, place: str) -> None:
    """The error has the path to the innermost value that cannot be written."""
    with pytest.raises(InvalidPayload) as raised:
        event(payload=payload)

    assert str(raised.value).startswith(place)


def test_a_cyclic_payload_is_refused() -> None:
    """A cycle is InvalidPayload too."""
    cycle: list[object] = []
    cycle.append(cycle)

    with pytest.raises(InvalidPayload):
        event(payload=cycle)


@pytest.mark.parametrize("content_type", ["", "a\r\nX: y", "ümlaut", " text/plain", "x" * 201, 5])
def test_an_unsafe_content_type_is_refused(content_type: object) -> None:
    """The content type travels as a header."""
    with pytest.raises(InvalidPayload, match="expected printable ASCII"):
        event(payload=b"", content_type=content_type)


def test_a_json_payload_keeps_a_json_type() -> None:
    """A `+json` type is kept. A payload that is encoded as JSON can have no other type."""
    assert event(payload={}, content_type="application/x+json").content_type == "application/x+json"
    with pytest.raises(InvalidPayload, match="written as JSON; encode it"):
        event(payload="text", content_type="text/plain")


@pytest.mark.parametrize("payload", [b"x" * 11, "x" * 9])
def test_too_large_is_refused(payload: object) -> None:
    """The limit holds for bytes, and for the encoded JSON."""
    with pytest.raises(TooLarge, match="11 bytes: expected at most 10"):
        event(payload=payload, max_body=10)


@pytest.mark.parametrize("name", ["", "a..b", "a b", "ä", None, 5, "x" * 201, "bridge.warmup", "bridge.x"])
def test_a_bad_or_reserved_name_is_refused(name: object) -> None:
    """A name follows the grammar, and does not begin with `bridge.`."""
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
        (5e-324, None, NOW),
        (None, datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
        (None, datetime.min.replace(tzinfo=UTC), None),
        (None, (NOW + timedelta(1)).astimezone(timezone(timedelta(hours=5))), NOW + timedelta(1)),
    ],
)
def test_when_an_event_is_due(delay: object, at: object, due: datetime | None) -> None:
    """An event is due after its delay or at its time. Without them, or with a past time, it is due at once."""
    assert due_of(delay, at, NOW) == due


class BrokenZone(tzinfo):
    """A time zone that has no offset, or whose offset raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        if self.error is not None:
            raise self.error
        return None

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> None:
        return None


class Unprintable(timedelta):
    """A value whose repr raises."""

    def __repr__(self) -> str:
        raise ZeroDivisionError


FAR_EAST, FAR_WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))


@pytest.mark.parametrize(
    ("delay", "at", "why"),
    [
        (1, NOW, "expected one of them"),
        (-1, None, "not negative"),
        (timedelta(-1), None, "not negative"),
        (timedelta.min, None, "not negative"),
        (Unprintable(-1), None, "a value of type Unprintable: expected a time that is not negative"),
        (float("nan"), None, "not negative"),
        (float("inf"), None, "not negative"),
        (1e300, None, "delay=1e\\+300: expected a time within the calendar"),
        (timedelta.max, None, "within the calendar"),
        (True, None, "expected seconds, a timedelta, or a text such as '5m'"),
        ("soon", None, "delay='soon': expected a time such as 30, '30s'"),
        (Decimal(5), None, "expected seconds, a timedelta, or a text such as '5m'"),
        (None, datetime(2030, 1, 2), "with a time zone"),
        (None, datetime.max, "with a time zone"),
        (None, datetime.max.replace(tzinfo=FAR_WEST), "in the years 1 to 9999 UTC"),
        (None, datetime.min.replace(tzinfo=FAR_EAST), "in the years 1 to 9999 UTC"),
        (None, datetime(2030, 1, 2, tzinfo=BrokenZone()), "with a time zone"),
        (None, datetime(2030, 1, 2, tzinfo=BrokenZone(KeyError("zone"))), "with a time zone"),
        (None, date(2030, 1, 2), "with a time zone"),
        (None, NOW.time(), "with a time zone"),
        (None, 5, "with a time zone"),
    ],
)
def test_a_wrong_time_is_refused(delay: object, at: object, why: str) -> None:
    """The error names the argument, its value and the expected form."""
    with pytest.raises(DeferError, match=why):
        due_of(delay, at, NOW)


def test_a_number_that_cannot_be_printed_is_refused() -> None:
    """Python refuses to write a number of 5,000 digits, so the error names its type."""
    huge = 10**5000

    with pytest.raises(DeferError, match="delay=a value of type int: expected a time within the calendar"):
        due_of(huge, None, NOW)
    with pytest.raises(DeferError, match="delay=a value of type int: expected a time that is not negative"):
        due_of(-huge, None, NOW)
    with pytest.raises(DeferError, match="at=a value of type int: expected a datetime"):
        due_of(None, huge, NOW)


def test_a_timeout_of_the_app_passes_through_the_encoding() -> None:
    """A signal handler may raise while a payload is encoded, or while a time zone is asked."""
    raised = TimeoutError("the app's own limit")

    def dumps(payload: object) -> str:
        raise raised

    with pytest.raises(TimeoutError) as encoding:
        event(payload={}, dumps=dumps)
    with pytest.raises(TimeoutError) as asking:
        due_of(None, datetime(2030, 1, 2, tzinfo=BrokenZone(raised)), NOW)

    assert encoding.value is raised
    assert asking.value is raised


def test_a_released_memoryview_is_refused() -> None:
    """It has no bytes any more."""
    view = memoryview(b"data")
    view.release()

    with pytest.raises(InvalidPayload, match="cannot be read"):
        event(payload=view)
