"""Writes attempts and their errors as JSON objects, and reads them from JSON that another program may have written."""

from typing import Any

from bridge.attempt import Attempt, Error
from bridge.event import format_time
from bridge.json_fields import any_text, count, mapping, optional, seconds, time

MOST_COUNTED = 1_000_000
"""The highest count of attempts, rounds and waits. A foreign publisher's higher count is lowered to it: a retry policy
may calculate with it."""
MAX_SECONDS = 1e10
"""Some 300 years: the longest duration."""


def attempt_to_json(attempt: Attempt) -> dict[str, Any]:
    """Return the attempt as a JSON object, without its absent fields."""
    fields = {
        "round": attempt.round,
        "number": attempt.number,
        "started": format_time(attempt.started),
        "seconds": round(attempt.seconds, 6),
        "outcome": attempt.outcome,
        "release": attempt.release,
        "error": attempt.error and error_to_json(attempt.error),
    }
    return {key: value for key, value in fields.items() if value is not None}


def attempt_from_json(value: object) -> Attempt:
    """Return the attempt of a JSON object, bounded. Raise `KeyError` or `ValueError` if the object is damaged."""
    fields = mapping(value)
    return Attempt(
        round=read_count(fields["round"]),
        number=read_count(fields["number"]),
        started=time(fields["started"]),
        seconds=seconds(fields["seconds"], MAX_SECONDS),
        outcome=any_text(fields["outcome"]),
        release=optional(any_text, fields.get("release")),
        error=optional(error_from_json, fields.get("error")),
    ).bounded()


def error_to_json(error: Error) -> dict[str, Any]:
    """Return the error as a JSON object, without its absent fields."""
    fields = {"type": error.type, "message": error.message}
    return fields if error.traceback is None else {**fields, "traceback": error.traceback}


def error_from_json(value: object) -> Error:
    """Return the error of a JSON object, bounded. Raise `KeyError` or `ValueError` if the object is damaged."""
    fields = mapping(value)
    trace = fields.get("traceback")
    return Error(
        any_text(fields["type"]), any_text(fields["message"]), None if trace is None else any_text(trace)
    ).bounded()


def read_count(value: object) -> int:
    """Return a count of attempts, rounds or waits, at most `MOST_COUNTED`. Raise `ValueError`."""
    return count(value, MOST_COUNTED)
