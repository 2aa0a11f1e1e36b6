"""A retry policy as a table in `bridge.toml`: plain data, so that a web process does not import tenacity."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RetryTable:
    """The number of attempts and the waits between them. The n-th wait is `initial` × `base`^(n-1), at most `max`, plus
    a random part of up to `jitter` (a share) of it.

    The default outlasts an outage of one night: 20 attempts in some 14 hours. Short defaults (three attempts within
    minutes are common in this field) turn every outage into dead letters.
    """

    attempts: int = 20
    initial: timedelta = timedelta(seconds=2)
    base: float = 3.0
    max: timedelta = timedelta(hours=1)
    jitter: float = 0.25


DEFAULT = RetryTable()
