"""The arguments of `Event.progress` and `Event.extend`."""

import math
from datetime import timedelta

from bridge.config.notation import duration


def check_progress(done: object, total: object, note: object) -> None:
    """Raise `TypeError` or `ValueError` for a progress that cannot be told."""
    for name, value in (("done", done), ("total", total)):
        if type(value) not in (int, float) and not (name == "total" and value is None):
            raise TypeError(f"progress({name}={value!r:.100}): expected a number")
        if value is not None and not abs(value) < 2.0**63:  # type: ignore[arg-type]  # checked above
            raise ValueError(f"progress({name}={value!r:.100}): expected a number below 2**63")
    if not isinstance(note, str):
        raise TypeError(f"progress(note={note!r:.100}): expected a text")


def extension_of(value: object) -> float:
    """Return the time of an `extend` in seconds. Raise `TypeError` or `ValueError` for what is no positive time."""
    match value:
        case timedelta():
            seconds = value.total_seconds()
        case int() | float() if not isinstance(value, bool):
            seconds = float(value)
        case str():
            try:
                seconds = duration(value).total_seconds()
            except ValueError as error:
                raise ValueError(f"extend({value!r:.100}): {error}") from None
        case _:
            raise TypeError(f"extend({value!r:.100}): expected seconds, a timedelta, or a text such as '30s'")
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(f"extend({value!r:.100}): expected a positive time")
    return seconds
