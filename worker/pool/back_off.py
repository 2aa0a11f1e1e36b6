"""How long to wait before the next child boots, when children fail. Arithmetic only; the caller waits."""

from collections.abc import Callable

FIRST = 0.5
AT_MOST = 30.0
LIVED_WELL = 5.0
"""Seconds after which a child that has served nothing yet is taken to be well. One that is lost before has failed."""


class BackOff:
    """Doubles from `FIRST` to `AT_MOST` seconds with each failure in a row; `chance` (0 to 1) takes up to half off.
    What fails while it waits has the same cause, and is not counted again."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._failures = 0
        self._failed_at = 0.0
        self._until = 0.0

    @property
    def failing(self) -> bool:
        """Whether no child has shown since the last failure that it can live."""
        return self._failures > 0

    def failed(self, now: float) -> None:
        """Count a failure."""
        self._failed_at = now
        if now >= self._until:
            wait = min(FIRST * 2.0 ** min(self._failures, 30), AT_MOST)
            self._failures += 1
            self._until = now + wait * (1 - self._chance() / 2)

    def wait(self, now: float) -> float:
        """Return the seconds until the next boot may begin."""
        return max(0.0, self._until - now) if self._failures else 0.0

    def well(self, born: float) -> None:
        """A child that was ready at this time has shown that it can live. If that was before the last failure, it says
        nothing about those that boot now."""
        if born > self._failed_at:
            self._failures = 0
