"""`call()`: ask the app's listeners and return their answer. `fork_safe_publishing` carries the question."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from flask import current_app

from app_adapter.defer import EXTENSION, make_event
from bridge.call import LONGEST_TIMEOUT, Question
from bridge.errors import CallError, shown
from bridge.event import Event

TIMEOUT = 5.0
"""Seconds that a call waits for its answer by default."""


def call(
    name: str, payload: Any = None, *, timeout: float | timedelta = TIMEOUT, content_type: str | None = None
) -> Any:
    """Call the listeners of this name in a worker, from within a Flask request or app context; return their answer.

    The answer is what the first listener returns that returns something other than None: JSON, decoded, or bytes. The
    call ends within `timeout` (seconds or a timedelta). A call is not stored and not retried, and it runs at most once.

    Raise `CallError`: `NobodyServes` at once if no worker takes calls of this name, `CallTimedOut` if no answer came in
    time, `CallFailed` with the error of the app, `CallRejected` if the listener raised `Reject`, `CallUnavailable` if
    the broker cannot be reached; the base class for a wrong `timeout`, and outside an app. A wrong name or payload
    raises what `defer()` raises.
    """
    state = current_app.extensions.get(EXTENSION) if current_app else None
    if state is None:
        where = f"the app {current_app.name!r} has no" if current_app else "outside a Flask context there is no"
        raise CallError(f"{where} DeferredEvents: call DeferredEvents(app) first, or use events.call()")
    return state.call(name, payload, timeout=timeout, content_type=content_type)


def make_question(
    name: object,
    payload: object,
    *,
    timeout: object,
    content_type: str | None,
    source: str,
    dumps: Callable[[Any], str],
    max_body: int,
    traceparent: str | None,
    now: datetime,
) -> Question:
    """Return the question, checked. Raise what `make_event` and `question_of` raise."""
    event = make_event(
        name,
        payload,
        content_type=content_type,
        source=source,
        dumps=dumps,
        max_body=max_body,
        traceparent=traceparent,
        now=now,
    )
    return question_of(event, timeout)


def question_of(event: Event, timeout: object) -> Question:
    """Return the question with this event. Raise `CallError` for a wrong timeout."""
    return Question(event, _seconds(timeout))


def _seconds(timeout: object) -> float:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 < seconds <= LONGEST_TIMEOUT:  # type: ignore[operator]  # it is a number
        raise CallError(
            f"timeout={shown(timeout)}: expected seconds or a timedelta, more than 0 and at most 20 minutes"
        )
    return float(seconds)  # type: ignore[arg-type]
