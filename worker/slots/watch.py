"""A timer that is asked for often and fires seldom: to ask for a later time costs a comparison."""

import asyncio
from collections.abc import Callable


class Watch:
    """Calls `check` at the times that it is asked for, or before. `check` asks again if it comes too early."""

    __slots__ = ("_at", "_check", "_loop", "_timer")

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0

    def by(self, at: float) -> None:
        """Call `check` at this time of the loop's clock, or before it."""
        if self._timer is not None:
            if at >= self._at:
                return
            self._timer.cancel()
        self._at = at
        self._timer = self._loop.call_at(at, self._fire)

    def stop(self) -> None:
        """Do not call `check` any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._check()
