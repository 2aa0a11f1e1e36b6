"""Calls back at deadlines, with one timer for all of them: most are discarded long before."""

import asyncio
import time
from collections.abc import Callable
from itertools import count

from bridge.deadline import Deadline


class Expiries:
    """Deadlines that are awaited on one event loop, and what to call when they have come."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0

    def add(self, deadline: Deadline, call: Callable[[], None]) -> int:
        """Call this at the deadline, unless `discard` comes first. Return the number for `discard`."""
        number = next(self._numbers)
        self._calls[number] = (deadline.at, call)
        if self._timer is None or deadline.at < self._next:
            self._wait_until(deadline.at)
        return number

    def discard(self, number: int) -> None:
        """Do not call any more."""
        self._calls.pop(number, None)

    def _wait_until(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = moment
        self._timer = asyncio.get_running_loop().call_later(max(moment - time.monotonic(), 0.0), self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        for number in [number for number, (at, _) in self._calls.items() if at <= now]:
            if (expired := self._calls.pop(number, None)) is not None:
                expired[1]()
        if self._calls:
            self._wait_until(min(at for at, _ in self._calls.values()))
