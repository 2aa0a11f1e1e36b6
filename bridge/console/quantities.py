"""Durations and sizes as text for people."""

_TIMES = ((86400, "d"), (3600, "h"), (60, "min"))
_SIZES = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def duration_text(seconds: float, digits: int = 0) -> str:
    """Return the seconds in the largest unit that they fill, rounded down to this many decimal places: `59 s`, `1 min`,
    `2.5 h`. A negative duration, which a wrong clock can cause, is `0 s`."""
    seconds = max(seconds, 0)
    size, unit = next(((size, unit) for size, unit in _TIMES if seconds >= size), (1, "s"))
    return f"{int(seconds * 10**digits // size) / 10**digits:.{digits}f} {unit}"


def size_text(size: int) -> str:
    """Return the bytes in the largest unit that they fill: `512 B`, `1.5 KiB`, `64.0 MiB`."""
    return next((f"{size / unit:.1f} {name}" for unit, name in _SIZES if size >= unit), f"{size} B")
