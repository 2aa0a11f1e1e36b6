"""Reads the headers of a request: when and how its events run, and whether the client waits for an answer."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from wsgiref.types import WSGIEnvironment

from werkzeug.datastructures import Headers
from werkzeug.http import parse_dict_header

from app_adapter.given_times import seconds_of
from app_adapter.ingress.problems import wrong
from bridge.errors import DeferError
from bridge.event import parse_time
from bridge.handling import Priority

DELAY, AT, EXPIRES, WITHIN = "Bridge-Delay", "Bridge-At", "Bridge-Expires", "Bridge-Within"
PRIORITY, ON_DUPLICATE, KEY, PREFER = "Bridge-Priority", "Bridge-On-Duplicate", "Idempotency-Key", "Prefer"

_NOT_OF_A_CALL = (DELAY, AT, WITHIN, ON_DUPLICATE, KEY)
"""Headers that a call cannot follow: it begins now, and nothing of it is stored."""

_ASKING = frozenset(
    f"HTTP_{each.upper().replace('-', '_')}"
    for each in (DELAY, AT, EXPIRES, WITHIN, PRIORITY, ON_DUPLICATE, KEY, PREFER)
)
"""The headers that ask for something, as an environ names them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`arguments` are those of a `Deferral`. `wait` is how many seconds the client waits for an answer, 0 for none."""

    arguments: dict[str, Any]
    wait: float = 0.0


NOTHING = Asked({})


def asks(environ: WSGIEnvironment) -> bool:
    """Return whether a request has a header that asks for something. Most have none."""
    return not _ASKING.isdisjoint(environ)


def asked_of(headers: Headers, key_within: timedelta, longest_wait: timedelta) -> Asked:
    """Return what the headers ask for. `key_within` is for how long a key is held if they name no time. Raise `Problem`
    for a header that cannot be used, and for headers that contradict each other."""
    arguments: dict[str, Any] = {
        "delay": _time(headers, DELAY),
        "at": _moment(headers, AT),
        "priority": _one_of(headers, PRIORITY, tuple(str(each) for each in Priority)),
        "expires": _moment(headers, EXPIRES) if "-" in headers.get(EXPIRES, "") else _time(headers, EXPIRES),
        "on_duplicate": _one_of(headers, ON_DUPLICATE, ("return", "raise")) or "return",
    }
    if DELAY in headers and AT in headers:
        raise wrong(AT, headers[AT], f"expected no {DELAY} beside it")
    if KEY in headers:
        arguments["key"] = _key(headers[KEY])
    if KEY in headers or WITHIN in headers:
        arguments["within"] = _time(headers, WITHIN) or key_within or None
    return Asked(arguments, _wait(headers, longest_wait))


def _wait(headers: Headers, longest: timedelta) -> float:
    """Return the wait of `Prefer: wait=SECONDS` (RFC 7240). Other preferences change nothing."""
    preferences = {name.lower(): value for name, value in parse_dict_header(headers.get(PREFER, "")).items()}
    if "wait" not in preferences:
        return 0.0
    text = preferences["wait"] or ""
    if not text.isascii() or not text.isdigit():
        raise wrong("Prefer: wait", text, "expected whole seconds, such as wait=5")
    seconds = min(float(text), longest.total_seconds())
    given = next((name for name in _NOT_OF_A_CALL if name in headers), None)
    if seconds and given is not None:
        raise wrong(given, headers[given], "expected no Prefer: wait beside it, because a call is not stored")
    return seconds


def _time(headers: Headers, name: str) -> str | None:
    text = headers.get(name)
    if text is not None:
        try:
            seconds_of(name, text)
        except DeferError as error:
            raise wrong(name, text, _expected(error)) from error
    return text


def _moment(headers: Headers, name: str) -> datetime | None:
    text = headers.get(name)
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        raise wrong(name, text, "expected a time with its offset, such as 2026-11-20T09:00:00+01:00") from error


def _one_of(headers: Headers, name: str, words: tuple[str, ...]) -> Any:
    text = headers.get(name)
    if text is not None and text not in words:
        raise wrong(name, text, f"expected one of {', '.join(words)}")
    return text


def _key(text: str) -> str:
    """Return a key, which the draft of this header writes in quotes."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _expected(error: DeferError) -> str:
    """Return what an error of an argument says was expected."""
    return "expected " + str(error).rpartition("expected ")[2]
