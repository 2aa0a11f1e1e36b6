"""The table `[schedules.NAME]` of `bridge.toml`.

The library that reads cron expressions is imported when there is a schedule: web processes read the same file.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from bridge.config.notation import event_name, limited_duration, text


def _event_name(value: object) -> str:
    name = event_name(value)
    if name.startswith("bridge."):
        raise ValueError("expected a name that does not begin with 'bridge.': those are reserved")
    return name


def _cron(value: object) -> str:
    from bridge.schedule import check_cron

    return check_cron(text(value))


def _timezone(value: object) -> str:
    from bridge.schedule import check_timezone

    return check_timezone(text(value))


def _json(value: object) -> bytes:
    """Read a payload and return it as JSON."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"expected values that JSON has; write dates and times as texts: {error}") from None


def _catch_up(value: object) -> timedelta:
    from bridge.schedule import LONGEST_CATCH_UP

    result = limited_duration(value)
    if result > LONGEST_CATCH_UP:
        raise ValueError(f"expected a time of at most {LONGEST_CATCH_UP.days}d")
    return result


@dataclass(frozen=True)
class ScheduleSettings:
    """The table `[schedules.<name>]`. See docs/schedules.md."""

    event: Annotated[str, _event_name]
    cron: Annotated[str, _cron]
    timezone: Annotated[str, _timezone] = "UTC"
    payload: Annotated[bytes, _json] = b"{}"
    """The event's data, as JSON."""
    catch_up: Annotated[timedelta, _catch_up] = timedelta(hours=1)
