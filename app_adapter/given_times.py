"""Reads the times that callers of `defer()` pass. Errors name the argument, its value and what was expected."""

import math
from datetime import UTC, datetime, timedelta

from bridge.config.notation import LONGEST, duration
from bridge.errors import DeferError, shown


def moment_after(argument: str, value: object, now: datetime) -> datetime:
    """Return the moment that is `value` (seconds, a timedelta, or a text such as "5m") after `now`. Raise `DeferError`
    for a value that is none of them, is negative or leaves the calendar."""
    try:
        return now + timedelta(seconds=seconds_of(argument, value))
    except OverflowError:
        raise DeferError(
            f"{argument}={shown(value)}: expected a time within the calendar, before the year 10000"
        ) from None


def moment_of(argument: str, value: object) -> datetime:
    """Return a datetime with a time zone in UTC. Raise `DeferError` for anything else."""
    expected = "expected a datetime with a time zone, such as datetime.now(UTC)"
    if not isinstance(value, datetime):
        raise DeferError(f"{argument}={shown(value)}: {expected}")
    try:
        if value.utcoffset() is not None:
            return value.astimezone(UTC)
    except TimeoutError:  # of the app's own signal handler
        raise
    except OverflowError:
        raise DeferError(
            f"{argument}={shown(value)}: expected a time within the calendar, in the years 1 to 9999 UTC"
        ) from None
    except Exception as error:  # a time zone is code of the app, and may raise anything
        raise DeferError(f"{argument}={shown(value)}: {expected}: {type(error).__name__}: {error}") from error
    raise DeferError(f"{argument}={shown(value)}: {expected}")


def seconds_of(argument: str, value: object) -> float:
    """Return a time as seconds. Raise `DeferError` for a value that is no time, or is negative or infinite."""
    match value:
        case timedelta():
            seconds = value.total_seconds()
        case int() | float() if not isinstance(value, bool):
            seconds = value
        case str():
            seconds = _written(argument, value)
        case _:
            raise DeferError(f"{argument}={shown(value)}: expected seconds, a timedelta, or a text such as '5m'")
    if not seconds >= 0 or seconds == math.inf:
        raise DeferError(f"{argument}={shown(value)}: expected a time that is not negative")
    return seconds


def wait_of(argument: str, value: object) -> float:
    """Return a time that a clock can wait for, as seconds. Raise `DeferError` for any other value."""
    seconds = seconds_of(argument, value)
    if seconds > LONGEST.total_seconds():
        raise DeferError(f"{argument}={shown(value)}: expected a time of at most {LONGEST.days}d")
    return seconds


def _written(argument: str, value: str) -> float:
    try:
        return duration(value).total_seconds()
    except ValueError as error:
        raise DeferError(f"{argument}={shown(value)}: {error}") from error
