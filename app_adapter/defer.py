"""`defer()`, and the event and due time that it makes from its arguments. Publishing is in `fork_safe_publishing`."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from flask import current_app

from app_adapter.deferral import Deferral
from app_adapter.given_times import moment_after, moment_of, seconds_of
from app_adapter.listener_api import is_json
from app_adapter.payload_path import path_to
from bridge.errors import DeferError, InvalidName, InvalidPayload, TooLarge, shown
from bridge.event import Event, event_id
from bridge.handling import PLAIN, Handling
from bridge.strict_json import refuse_constant
from bridge.topics import RESERVED, check_name, is_reserved

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
    delay: float | timedelta | str | None = None,
    at: datetime | None = None,
    content_type: str | None = None,
    priority: Literal["high", "normal", "low"] | None = None,
    expires: float | timedelta | str | datetime | None = None,
    retry: Mapping[str, Any] | None = None,
    key: str | None = None,
    within: float | timedelta | str | None = None,
    on_duplicate: Literal["return", "raise"] = "return",
    session: Any = None,
    to: str | None = None,
    job_class: str | None = None,
) -> str:
    """Defer an event from within a Flask request or app context; return its id.

    When `defer()` returns, the event is durable: in the broker, or with `publish = "spool"` in this host's spool, from
    which it is published when the broker is back. It returns or raises within `publish_timeout`.

    The app's JSON provider encodes `payload`; bytes are passed through. The event is due at once, after `delay`
    (seconds, a timedelta, or a text such as "5m"), or at `at` (a datetime with a time zone).

    `priority` replaces that of the queue. The event does not begin after `expires`, a time from now as for `delay`, or
    a datetime with a time zone. `retry` is a table as in the settings, such as `{"attempts": 5, "initial": "10s"}`, and
    replaces the retry policy of the queue. `key` is your own name for the event, of at most 200 characters. With
    `within`, a time as for `delay`, the event holds its key for that time: another event of this name and key that is
    deferred with a `within` meanwhile is not published; `defer()` then returns the id of the first one, or raises
    `DuplicateEvent` with `on_duplicate="raise"`. RabbitMQ cannot do that; there it needs a `session`.

    With a `session`, a Session or AsyncSession of SQLAlchemy 2, the event is written into the outbox in the session's
    own transaction: it is deferred exactly if that transaction commits. `bridge-relay` publishes it; see
    docs/outbox.md.

    With `to`, such as "sidekiq:default", the event is published as a job of Sidekiq, of the class `job_class`, into
    that queue of the Redis server in `[stores]`; see docs/sidekiq.md. A payload that is a list is the job's
    arguments, any other but None the only one. `defer()` returns the job's id.

    Raise `DeferError`: a subclass names the cause; the base class is raised for another argument that cannot be used,
    and outside an app. Nothing was published, except perhaps after `DeferUnconfirmed`.
    """
    deferral = Deferral(
        event_name,
        payload,
        delay=delay,
        at=at,
        content_type=content_type,
        priority=priority,
        expires=expires,
        retry=retry,
        key=key,
        within=within,
        on_duplicate=on_duplicate,
        to=to,
        job_class=job_class,
    )
    deferred: str = state_of_app().defer(deferral, session)
    return deferred


def defer_many(events: "Iterable[tuple[str, Any] | Deferral]", *, session: Any = None) -> list[str]:
    """Defer many events from within a Flask request or app context; return their ids, in order.

    Each is `(name, payload)`, or a `Deferral` with the arguments of `defer()`. Their confirms are awaited together,
    those of a thousand events at most `publish_timeout`.

    If an event cannot be made, raise its `DeferError`, and nothing was published. If not all could be published, raise
    `NotAllDeferred`, which has the ids and errors.

    With a `session`, all are written into the outbox in its transaction, as by `defer()`.
    """
    deferred: list[str] = state_of_app().defer_many(events, session)
    return deferred


def state_of_app() -> Any:
    """Return the `AppState` of the current app. Raise `DeferError` without one."""
    state = current_app.extensions.get(EXTENSION) if current_app else None
    if state is None:
        where = f"the app {current_app.name!r} has no" if current_app else "outside a Flask context there is no"
        raise DeferError(f"{where} DeferredEvents: call DeferredEvents(app) first, or use events.defer()")
    return state


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
    handling: Handling = PLAIN,
) -> Event:
    """Return the event, checked. Raise `InvalidName`, `InvalidPayload` or `TooLarge`.

    `dumps` encodes JSON. `max_body` is in bytes. A malformed `traceparent` is left out.
    """
    checked = check_name(name)
    if is_reserved(checked):
        raise InvalidName(f"event name {checked!r}: names that begin with {RESERVED!r} are reserved")
    data, content_type = encoded(payload, content_type, dumps)
    if len(data) > max_body:
        raise TooLarge(f"the data of {checked!r} is {len(data)} bytes: expected at most {max_body} (max_body)")
    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        traceparent = None
    return Event(event_id(now, os.urandom(10)), checked, source, now, content_type, data, traceparent, handling)


def due_of(delay: object, at: object, now: datetime) -> datetime | None:
    """Return the due time; None for at once. Raise `DeferError` for a `delay` or `at` that cannot be used."""
    if delay is not None and at is not None:
        raise DeferError(f"delay={shown(delay)} and at={shown(at)}: expected one of them")
    if at is not None:
        moment = moment_of("at", at)
        return moment if moment > now else None
    if delay is None or not seconds_of("delay", delay):
        return None
    return moment_after("delay", delay, now)


def encoded(payload: object, content_type: object, dumps: Callable[[Any], str]) -> tuple[bytes, str]:
    """Return the data and its content type. Raise `InvalidPayload`."""
    if content_type is not None and (
        not isinstance(content_type, str) or _HEADER_VALUE.fullmatch(content_type) is None
    ):
        raise InvalidPayload(
            f"content_type={shown(content_type, 200)}: expected printable ASCII, at most 200 characters"
        )
    if isinstance(payload, bytes | bytearray | memoryview):
        return _bytes(payload), content_type or BYTES
    if content_type is not None and not is_json(content_type):
        raise InvalidPayload(
            f"content_type={content_type!r}: a payload that is not bytes is written as JSON; encode it, "
            f"or name a JSON type"
        )
    return _json(payload, dumps), content_type or JSON


def _bytes(payload: bytes | bytearray | memoryview) -> bytes:
    try:
        return bytes(payload)
    except ValueError as error:  # a memoryview that was released
        raise InvalidPayload(f"the payload cannot be read: {error}") from error


def _json(payload: object, dumps: Callable[[Any], str]) -> bytes:
    try:
        return _written(payload, dumps)
    except TimeoutError:  # of the app's own signal handler, which may interrupt a long encoding
        raise
    except Exception as error:  # the default() of a JSON provider may raise anything
        path = path_to(payload, lambda value: not _can_be_written(value, dumps))
        raise InvalidPayload(f"{path} cannot be written as JSON: {type(error).__name__}: {error}") from error


def _written(payload: object, dumps: Callable[[Any], str]) -> bytes:
    text = dumps(payload)
    # JSON has no NaN. Python's encoder writes it anyway, and a JSON provider may not support allow_nan=False.
    if "NaN" in text or "Infinity" in text:
        json.loads(text, parse_constant=refuse_constant)
    return text.encode()


def _can_be_written(value: object, dumps: Callable[[Any], str]) -> bool:
    try:
        _written(value, dumps)
    except TimeoutError:
        raise
    except Exception:  # as above
        return False
    return True
