"""The receiver's verdict, and the status and `Bridge-*` headers that carry it. The app writes, the worker reads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal, get_args

from bridge.attempt import Error

Kind = Literal["delivered", "reject", "failed", "retry", "overloaded"]
KINDS: frozenset[str] = frozenset(get_args(Kind))

# The status repeats the verdict for logs, and for a worker that is told to trust statuses. It decides nothing here.
STATUSES: dict[Kind, str] = {
    "delivered": "200 OK",
    "reject": "422 Unprocessable Content",
    "failed": "500 Internal Server Error",
    "retry": "425 Too Early",
    "overloaded": "503 Service Unavailable",
}

MAX_FINISHED = 100
MAX_LISTENER_NAME = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the app's receiver says of one replay. `retry_after` is in seconds; `finished` names the listeners that
    need not run again; `release` is the app's own name for its version."""

    kind: Kind
    error: Error | None = None
    retry_after: float | None = None
    finished: tuple[str, ...] = ()
    release: str | None = None


def headers_of(verdict: Verdict) -> list[tuple[str, str]]:
    """Return the reply headers that carry the verdict. All are ASCII without line ends, whatever the app raised."""
    headers: list[tuple[str, str]] = [("Bridge-Outcome", verdict.kind)]
    if verdict.retry_after is not None:
        headers.append(("Retry-After", str(max(round(verdict.retry_after + 0.4999), 0))))
    if verdict.error is not None:
        error = verdict.error.bounded()
        fields = {"type": error.type, "message": error.message, "traceback": error.traceback}
        headers.append(("Bridge-Error", json.dumps(fields)))
    if verdict.finished:
        headers.append(("Bridge-Finished", json.dumps(verdict.finished)))
    if verdict.release is not None:
        headers.append(("Bridge-Release", json.dumps(verdict.release)[1:-1]))
    return headers


def verdict_of(headers: Mapping[str, str], now: datetime) -> Verdict | None:
    """Return the verdict that the headers (names in lower case) carry; None where the receiver has not spoken.

    A verdict whose details are damaged is still a verdict: they are left out, or kept as the text that came.
    """
    kind = headers.get("bridge-outcome", "").strip().lower()
    if kind not in KINDS:
        return None
    release = headers.get("bridge-release")
    return Verdict(
        kind=kind,  # type: ignore[arg-type]  # just checked against the same list
        error=_error(headers.get("bridge-error")),
        retry_after=retry_after(headers, now),
        finished=_finished(headers.get("bridge-finished")),
        release=release and release[:200],
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as seconds or as an HTTP date; None where it is absent or
    is neither. A date that has passed is 0."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        return float(text[:10])
    try:
        return max((parsedate_to_datetime(text) - now) / timedelta(seconds=1), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _error(text: str | None) -> Error | None:
    if text is None:
        return None
    try:
        fields = json.loads(text)
        trace = fields.get("traceback")
        error = Error(str(fields["type"]), str(fields["message"]), None if trace is None else str(trace))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        error = Error("error", text)
    return error.bounded()


def _finished(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(names, list):
        return ()
    return tuple(str(name)[:MAX_LISTENER_NAME] for name in names[:MAX_FINISHED])
