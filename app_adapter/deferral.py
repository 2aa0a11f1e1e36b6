"""The arguments of one `defer()` as a value, and the event's handling that is read from them."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from app_adapter.given_retry import retry_of
from app_adapter.given_times import moment_after, moment_of
from bridge.errors import DeferError, shown
from bridge.handling import MAX_KEY, PLAIN, Handling, Priority


@dataclass(frozen=True, slots=True)
class Deferral:
    """An event to defer. The fields are the arguments of `defer()`, and are checked when the event is deferred.

    `source` is the program that the event comes from; None: the app. An event `to` a queue of Sidekiq is a job of
    `job_class`.
    """

    name: str
    payload: Any = None
    _: KW_ONLY
    delay: float | timedelta | str | None = None
    at: datetime | None = None
    content_type: str | None = None
    priority: Literal["high", "normal", "low"] | None = None
    expires: float | timedelta | str | datetime | None = None
    retry: Mapping[str, Any] | None = None
    key: str | None = None
    within: float | timedelta | str | None = None
    on_duplicate: Literal["return", "raise"] = "return"
    source: str | None = None
    to: str | None = None
    job_class: str | None = None


def handling_of(deferral: Deferral, due: datetime | None, now: datetime) -> Handling:
    """Return the handling that a caller asked for. `due` is the event's due time, None for now. Raise `DeferError`,
    which names the argument, its value and what was expected."""
    if all(asked is None for asked in (deferral.priority, deferral.expires, deferral.key, deferral.retry)):
        return PLAIN
    return Handling(
        priority=None if deferral.priority is None else _priority(deferral.priority),
        expires=None if deferral.expires is None else _expires(deferral.expires, due or now, now),
        key=None if deferral.key is None else checked_key(deferral.key),
        retry=None if deferral.retry is None else retry_of(deferral.retry, DeferError),
    )


def within_of(deferral: Deferral, now: datetime) -> timedelta | None:
    """Return how long the event holds its key, None if it does not. Raise `DeferError` for a `within` without a `key`,
    and for an `on_duplicate` without a `within`."""
    if deferral.on_duplicate not in ("return", "raise"):
        raise DeferError(f"on_duplicate={shown(deferral.on_duplicate)}: expected 'return' or 'raise'")
    if deferral.within is None:
        if deferral.on_duplicate == "raise":
            raise DeferError("on_duplicate='raise': expected a key and a within, such as key='order-17', within='10m'")
        return None
    if deferral.key is None:
        raise DeferError(f"within={shown(deferral.within)}: expected a key, such as key='order-17'")
    within = moment_after("within", deferral.within, now) - now
    if not within:
        raise DeferError(f"within={shown(deferral.within)}: expected a time above 0")
    return within


def checked_key(value: object) -> str:
    """Return the key of an event. Raise `DeferError` for one that cannot be used."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY or not value.isprintable():
        raise DeferError(f"key={shown(value)}: expected a text of 1 to {MAX_KEY} printable characters")
    return value


def _priority(value: object) -> Priority:
    if not isinstance(value, str) or value not in list(Priority):
        raise DeferError(f"priority={shown(value)}: expected 'high', 'normal' or 'low'")
    return Priority(value)


def _expires(value: object, due: datetime, now: datetime) -> datetime:
    moment = moment_of("expires", value) if isinstance(value, datetime) else moment_after("expires", value, now)
    if moment <= due:
        raise DeferError(f"expires={shown(value)}: expected a time after the event is due, {due.isoformat()}")
    return moment
