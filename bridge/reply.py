"""The receiver's verdict on a replay, and the reply headers that carry it from the app to the worker."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal, get_args

from bridge.attempt import Error, encodable
from bridge.handling_text import retry_from_json, retry_to_json
from bridge.retry_table import RetryTable

Kind = Literal["delivered", "reject", "failed", "retry", "overloaded", "halt"]
KINDS: frozenset[str] = frozenset(get_args(Kind))

# The status repeats the verdict, for access logs and for workers that are configured with `trust = "status"`. For other
# workers it has no effect.
STATUSES: dict[Kind, str] = {
    "delivered": "200 OK",
    "reject": "422 Unprocessable Content",
    "failed": "500 Internal Server Error",
    "retry": "425 Too Early",
    "overloaded": "503 Service Unavailable",
    "halt": "503 Service Unavailable",
}


_MILLISECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,3})?")

MAX_FINISHED = 24 * 1024
"""Bytes of JSON that the names of an event's finished listeners may take, because an envelope carries them. Further
names are dropped, and their listeners run again."""
MAX_LISTENER_NAME = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of the app's receiver on one replay. `retry_after` is in seconds; `finished` are the names of the
    listeners that need not run again; `release` is the app's name for its version; `retry` is the retry policy of the
    listeners that failed."""

    kind: Kind
    error: Error | None = None
    retry_after: float | None = None
    finished: tuple[str, ...] = ()
    release: str | None = None
    retry: RetryTable | None = None


DELIVERED = Verdict("delivered")


def headers_of(verdict: Verdict) -> list[tuple[str, str]]:
    """Return the reply headers that carry the verdict. They are ASCII without line ends, even if the app's texts are
    not."""
    headers: list[tuple[str, str]] = [("Bridge-Outcome", verdict.kind)]
    if verdict.retry_after is not None:
        whole = max(round(verdict.retry_after + 0.4999), 0)
        headers.append(("Retry-After", str(whole)))
        if whole != verdict.retry_after:
            headers.append(("Bridge-Wait", f"{verdict.retry_after:.3f}"))
    if verdict.error is not None:
        error = verdict.error.bounded()
        fields = {"type": error.type, "message": error.message, "traceback": error.traceback}
        headers.append(("Bridge-Error", json.dumps(fields)))
    if verdict.finished:
        headers.append(("Bridge-Finished", json.dumps(verdict.finished)))
    if verdict.retry is not None:
        headers.append(("Bridge-Retry", json.dumps(retry_to_json(verdict.retry))))
    if verdict.release is not None:
        headers.append(("Bridge-Release", json.dumps(verdict.release)[1:-1]))
    return headers


def kind_in(headers: Mapping[str, str]) -> str:
    """Return the kind of verdict in the headers (names in lower case), which may be none of `KINDS`; empty without a
    verdict."""
    return headers.get("bridge-outcome", "").strip().lower()


def release_in(headers: Mapping[str, str]) -> str | None:
    """Return the app's name for its version in the headers of a verdict; None if the app has none."""
    release = headers.get("bridge-release")
    return release and release[:200]


def verdict_of(headers: Mapping[str, str], now: datetime) -> Verdict | None:
    """Return the verdict in the headers (names in lower case); None if the reply is not from the receiver.

    Damaged details do not void the verdict: they are dropped, or kept as the text that was received.
    """
    kind = kind_in(headers)
    if kind not in KINDS:
        return None
    return Verdict(
        kind=kind,  # type: ignore[arg-type]  # checked against the same list above
        error=_error(headers.get("bridge-error")),
        retry_after=_wait(headers, now),
        finished=_finished(headers.get("bridge-finished")),
        release=release_in(headers),
        retry=_retry(headers.get("bridge-retry")),
    )


def fitting_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of finished listeners, each once, as far as they fit into `MAX_FINISHED` bytes of JSON."""
    kept: list[str] = []
    room = MAX_FINISHED
    for name in dict.fromkeys(names):
        if len(name) <= MAX_LISTENER_NAME:
            room -= size_of_name(name)
            if room < 0:
                break
            kept.append(name)
    return tuple(kept)


def size_of_name(name: str) -> int:
    """Return the bytes that the name of a finished listener takes in the JSON of an envelope."""
    return len(json.dumps(name, ensure_ascii=False).encode()) + 1  # and a comma


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds of the `Retry-After` header, which holds seconds or an HTTP date. A date in the past is 0.
    Return None if the header is absent or holds neither."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        return float(text[:10])
    try:
        return max((parsedate_to_datetime(text) - now) / timedelta(seconds=1), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the wait in seconds: that of `Bridge-Wait`, which may have milliseconds, or else of `Retry-After`."""
    text = headers.get("bridge-wait", "").strip()
    return float(text) if _MILLISECONDS.fullmatch(text) else retry_after(headers, now)


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


def _retry(text: str | None) -> RetryTable | None:
    try:
        return None if text is None else retry_from_json(json.loads(text))
    except (ValueError, KeyError, RecursionError):
        return None


def _finished(text: str | None) -> tuple[str, ...]:
    try:
        names = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return ()
    return fitting_names(encodable(name) for name in names if isinstance(name, str)) if isinstance(names, list) else ()
