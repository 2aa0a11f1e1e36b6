"""A retry policy as a table of `bridge.toml`: plain data, so that a web process need not import tenacity."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RetryTable:
    """How often, and how far apart. The n-th wait is `initial` × `base`^(n-1), at most `max`, and up to `jitter`
    (a fraction) longer.

    The default outlasts a night's outage: 20 attempts over some 14 hours. Short defaults (three attempts within
    minutes are common in this field) turn every outage into dead letters.
    """

    attempts: int = 20
    initial: timedelta = timedelta(seconds=2)
    base: float = 3.0
    max: timedelta = timedelta(hours=1)
    jitter: float = 0.25


DEFAULT = RetryTable()
