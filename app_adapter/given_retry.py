"""Reads the retry table that `defer()` and `@events.on` take. Errors name the key, its value and what was expected."""

from bridge.config.reading import Problem, Unreadable
from bridge.config.values import retry_settings
from bridge.errors import shown
from bridge.retry_table import RetryTable


def retry_of(value: object, error_type: type[Exception]) -> RetryTable:
    """Return a retry table, read as the settings read it. A field that is not given has the default of the settings.
    Raise an `error_type` for a value that is no such table."""
    try:
        return retry_settings(value).table()
    except Unreadable as error:
        raise error_type("; ".join(_sentence(problem) for problem in error.problems)) from error


def _sentence(problem: Problem) -> str:
    place = "".join(f"[{key!r}]" for key in problem.path)
    value = "" if problem.value is None else f"={shown(problem.value)}"
    return f"retry{place}{value}: {problem.expected}"
