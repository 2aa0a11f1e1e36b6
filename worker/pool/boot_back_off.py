"""The back-off of boots: decide when the next child may boot, while children fail. The caller keeps time and waits."""

from collections.abc import Callable

from bridge.back_off import BackOff

BOOT_BACK_OFF = BackOff(first=0.5, at_most=30.0)
LIVED_WELL = 5.0
"""Seconds after which a child that has served no request yet counts as healthy. A child lost earlier has failed."""


class BootBackOff:
    """Counts failures in a row, and how long they delay the next boot. A failure during a wait has the same cause as
    the one before it, and is not counted again."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._failures = 0
        self._failed_at = 0.0
        self._until = 0.0

    @property
    def failing(self) -> bool:
        """True if no child has proved healthy since the last failure."""
        return self._failures > 0

    def failed(self, now: float) -> None:
        """Count a failure."""
        self._failed_at = now
        if now >= self._until:
            self._failures += 1
            self._until = now + BOOT_BACK_OFF.wait(self._failures, self._chance())

    def wait(self, now: float) -> float:
        """Return the seconds until the next boot may begin."""
        return max(0.0, self._until - now) if self._failures else 0.0

    def well(self, born: float) -> None:
        """Forget the failures: the child that was ready at `born` is healthy. A child that was ready before the last
        failure proves nothing about children that boot now, and changes nothing."""
        if born > self._failed_at:
            self._failures = 0
