"""Deadlines in tests, in seconds from now."""

import time

from bridge.deadline import Deadline


def within(seconds: float) -> Deadline:
    """Return a deadline this many seconds from now."""
    return Deadline.after(seconds, time.monotonic())
