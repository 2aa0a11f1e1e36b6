"""The depth of a child's line: how many requests may be in flight on its connection. Arithmetic only.

While events are fast, a child that waited for the worker after each event would be idle for much of the time. A slow
event holds up those behind it, so only as many are sent as take a few milliseconds together: one, if events are slow.

The clock alone does not tell how long an event takes. On a busy machine the child waits for a CPU too, and for the
worker, and a depth that fell because of that would make it wait longer. So the CPU time of the child counts, and of the
time by the clock the share that is surely the event's own.
"""

WORK_SENT = 0.004
"""Seconds of work that are sent to a child at once."""

CROWDED = 2
"""How many times longer an event may take by the clock on a busy machine. Of events that wait, as for a database,
`CROWDED` times `WORK_SENT` are sent at once."""

_SHARE = 1 / 8
"""The share of the newest event in the mean."""


class Depth:
    """The depth by the time that the last events took, from 1 to `most`."""

    __slots__ = ("_most", "requests", "seconds")

    def __init__(self, most: int) -> None:
        self._most = most
        self.seconds = WORK_SENT
        """The time that an event takes, as a mean in which the newest ones count most."""
        self.requests = 1

    def note(self, clock: float, cpu: float, events: int = 1) -> None:
        """Note the time that each of some events has taken: seconds by the clock, and of CPU."""
        seconds = min(clock, max(cpu, clock / CROWDED))
        self.seconds += (min(seconds, WORK_SENT * 2) - self.seconds) * (1 - (1 - _SHARE) ** events)
        self.requests = max(1, min(self._most, int(WORK_SENT / max(self.seconds, 1e-6))))

    def note_slow(self) -> None:
        """Note that an event is slow: the next ones go one by one, until they are fast."""
        self.seconds = WORK_SENT
        self.requests = 1
