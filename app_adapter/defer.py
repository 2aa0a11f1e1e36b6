"""`defer()`, and what it makes of its arguments: an event, and when it is due. Publishing it is not done here."""

import json
import math
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from flask import current_app

from app_adapter.received import is_json
from bridge.errors import DeferError, InvalidName, InvalidPayload, TooLarge
from bridge.event import Event, event_id
from bridge.topics import check_name

EXTENSION = "deferred_events"
"""The key of the extension in `app.extensions`."""

JSON = "application/json"
BYTES = "application/octet-stream"

_HEADER_VALUE = re.compile(r"[!-~]([ -~]{0,198}[!-~])?")
# W3C trace context, version 00; ids of zeros only are invalid there.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def defer(
    event_name: str,
    payload: Any = None,
    *,
    delay: float | timedelta | None = None,
    at: datetime | None = None,
    content_type: str | None = None,
) -> str:
    """Defer an event from within a Flask request or app context, and return its id.

    When it returns, the broker has the event durably, or with `publish = "spool"` this host's spool, from which it is
    published as soon as the broker is back; it returns or raises within `publish_timeout`. `payload` is
    written by the app's own JSON provider; bytes are passed through. The event is due at once, after `delay` (seconds
    or a timedelta), or `at` a datetime with a time zone.

    Raises `DeferError`: a subclass names the cause, and the root itself is raised for a wrong `delay` or `at` and
    outside an app. But for `DeferUnconfirmed`, nothing was published.
    """
    state = current_app.extensions.get(EXTENSION) if current_app else None
    if state is None:
        where = f"the app {current_app.name!r} has no" if current_app else "outside a Flask context there is no"
        raise DeferError(f"{where} DeferredEvents: call DeferredEvents(app) first, or use events.defer()")
    deferred: str = state.defer(event_name, payload, delay=delay, at=at, content_type=content_type)
    return deferred


def make_event(
    name: object,
    payload: object,
    *,
    content_type: str | None,
    source: str,
    dumps: Callable[[Any], str],
    max_body: int,
    traceparent: str | None,
    now: datetime,
) -> Event:
    """Return the event, checked. `dumps` writes JSON; `max_body` is in bytes; a `traceparent` that is not well formed
    is left out. Raise `InvalidName`, `InvalidPayload` or `TooLarge`."""
    checked = check_name(name)
    if checked.startswith("bridge."):
        raise InvalidName(f"event name {checked!r}: names below 'bridge.' are the bridge's own")
    data, content_type = _encoded(payload, content_type, dumps)
    if len(data) > max_body:
        raise TooLarge(f"the data of {checked!r} is {len(data)} bytes: expected at most {max_body} (max_body)")
    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        traceparent = None
    return Event(event_id(now, os.urandom(10)), checked, source, now, content_type, data, traceparent)


def due_of(delay: object, at: object, now: datetime) -> datetime | None:
    """Return when an event is due, None for at once. Raise `DeferError` for a delay or moment that is none."""
    if delay is not None and at is not None:
        raise DeferError(f"delay={delay!r:.100} and at={at!r:.100}: expected one of them")
    if at is not None:
        if not isinstance(at, datetime) or at.tzinfo is None:
            raise DeferError(f"at={at!r:.100}: expected a datetime with a time zone, such as datetime.now(UTC)")
        return at.astimezone(UTC) if at > now else None
    seconds = _seconds(delay)
    try:
        return now + timedelta(seconds=seconds) if seconds else None
    except OverflowError:
        raise DeferError(f"delay={delay!r:.100}: expected a time within the calendar") from None


def _seconds(delay: object) -> float:
    match delay:
        case None:
            return 0.0
        case timedelta():
            seconds = delay.total_seconds()
        case int() | float() if not isinstance(delay, bool):
            seconds = delay
        case _:
            raise DeferError(f"delay={delay!r:.100}: expected seconds or a timedelta")
    if not seconds >= 0 or seconds == math.inf:
        raise DeferError(f"delay={delay!r:.100}: expected a time that is not negative")
    return seconds


def _encoded(payload: object, content_type: object, dumps: Callable[[Any], str]) -> tuple[bytes, str]:
    """Return the data and its content type."""
    if content_type is not None and (
        not isinstance(content_type, str) or _HEADER_VALUE.fullmatch(content_type) is None
    ):
        raise InvalidPayload(f"content_type={content_type!r:.200}: expected printable ASCII, at most 200 characters")
    if isinstance(payload, bytes | bytearray | memoryview):
        return bytes(payload), content_type or BYTES
    if content_type is not None and not is_json(content_type):
        raise InvalidPayload(
            f"content_type={content_type!r}: a payload that is not bytes is written as JSON; encode it, "
            f"or name a JSON type"
        )
    return _json(payload, dumps), content_type or JSON


def _json(payload: object, dumps: Callable[[Any], str]) -> bytes:
    try:
        text = dumps(payload)
        # JSON has no NaN. Python's encoder writes it all the same, and a provider need not know allow_nan=False.
        if "NaN" in text or "Infinity" in text:
            json.loads(text, parse_constant=_refuse)
        return text.encode()
    except Exception as error:  # a provider's own default() may raise anything
        raise InvalidPayload(f"the payload cannot be written as JSON: {type(error).__name__}: {error}") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
