"""The handling of an event as JSON, a part of the envelope's head. It has only the fields that are set. Pure."""

from datetime import timedelta
from typing import Any

from bridge.event import format_time
from bridge.handling import MAX_KEY, Handling, Priority
from bridge.json_fields import count, exact_text, mapping, optional, seconds, time
from bridge.retry_table import RetryTable

_LONGEST = timedelta(days=36_500)
_MOST_ATTEMPTS = 1_000_000


def handling_to_json(handling: Handling) -> dict[str, Any]:
    """Return the handling as a JSON object without the fields that are not set."""
    fields = {
        "priority": handling.priority and handling.priority.value,
        "expires": handling.expires and format_time(handling.expires),
        "key": handling.key,
        "retry": handling.retry and retry_to_json(handling.retry),
    }
    return {name: value for name, value in fields.items() if value is not None}


def handling_from_json(value: object) -> Handling:
    """Return the handling in a JSON object. Unknown fields are ignored. Raise `ValueError` for a wrong one."""
    fields = mapping(value)
    return Handling(
        priority=optional(_priority, fields.get("priority")),
        expires=optional(time, fields.get("expires")),
        key=optional(lambda key: exact_text(key, MAX_KEY), fields.get("key")),
        retry=optional(retry_from_json, fields.get("retry")),
    )


def retry_to_json(retry: RetryTable) -> dict[str, Any]:
    """Return a retry table as a JSON object. Times are in seconds."""
    return {
        "attempts": retry.attempts,
        "initial": retry.initial.total_seconds(),
        "base": retry.base,
        "max": retry.max.total_seconds(),
        "jitter": retry.jitter,
    }


def retry_from_json(value: object) -> RetryTable:
    """Return the retry table in a JSON object, each number within its bounds. Raise `ValueError` or `KeyError`."""
    fields = mapping(value)
    most = _LONGEST.total_seconds()
    return RetryTable(
        attempts=max(count(fields["attempts"], _MOST_ATTEMPTS), 1),
        initial=timedelta(seconds=seconds(fields["initial"], most)),
        base=max(seconds(fields["base"], most), 1.0),
        max=timedelta(seconds=seconds(fields["max"], most)),
        jitter=seconds(fields["jitter"], 1.0),
    )


def _priority(value: object) -> Priority:
    return Priority(exact_text(value, 10))
