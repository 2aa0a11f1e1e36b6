"""The depth of a child's line: how many requests may be in flight on its connection. Arithmetic only.

While events are fast, a child that waited for the worker after each event would be idle for much of the time. A slow
event holds up those behind it, so only as many are sent as take a few milliseconds together: one, if events are slow.
"""

WORK_SENT = 0.004
"""Seconds of work that are sent to a child at once."""

_SHARE = 1 / 8
"""The share of the newest event in the mean."""


class Depth:
    """The depth by the time that the last events took, from 1 to `most`."""

    __slots__ = ("_mean", "_most", "requests")

    def __init__(self, most: int) -> None:
        self._most = most
        self._mean = WORK_SENT
        self.requests = 1

    def note(self, seconds: float) -> None:
        """Note the time that an event has taken, or has taken so far and goes on."""
        self._mean += (min(seconds, WORK_SENT * 2) - self._mean) * _SHARE
        self.requests = max(1, min(self._most, int(WORK_SENT / max(self._mean, 1e-6))))

    def note_slow(self) -> None:
        """Note that an event is slow: the next ones go one by one, until they are fast."""
        self._mean = WORK_SENT
        self.requests = 1
