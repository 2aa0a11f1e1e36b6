"""The settlements that the broker has not confirmed in time. No event begins meanwhile, but only for a minute: if a
single settlement cannot be confirmed, the events after it must run.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from bridge.logger import log

HOLDS_UP_FOR = 60.0
"""Seconds for which an unconfirmed settlement keeps other events from beginning."""


class Unconfirmed:
    """The unconfirmed settlements, by any object that stands for the event.

    `trouble` returns why the broker does not confirm, for the log. `hold_back` is called with True when the first
    settlement begins to hold up other events, and with False when the last one no longer does. `stuck` is called with
    an event whose settlement stops holding up others although it is not confirmed.
    """

    def __init__(
        self, trouble: Callable[[], str], hold_back: Callable[[bool], None], stuck: Callable[[Any], None]
    ) -> None:
        self._trouble = trouble
        self._hold_back = hold_back
        self._stuck = stuck
        self._timers: dict[object, asyncio.TimerHandle | None] = {}

    def __len__(self) -> int:
        """The number of unconfirmed settlements."""
        return len(self._timers)

    @property
    def holding(self) -> int:
        """The number of those that hold up other events."""
        return sum(timer is not None for timer in self._timers.values()) if self._timers else 0

    def add(self, event: object, why: str) -> None:
        """Note that the settlement of an event is not confirmed. `why` is used if `trouble` knows no reason."""
        if event in self._timers:
            return
        first = not self.holding
        self._timers[event] = asyncio.get_running_loop().call_later(HOLDS_UP_FOR, self._let_others_begin, event)
        if first:
            why = self._trouble() or why
            log.warning("the broker does not confirm settlements; no event begins until it does", extra={"why": why})
            self._hold_back(True)

    def remove(self, event: object) -> None:
        """Note that an event is settled, or not in hand any more."""
        if event not in self._timers:
            return
        timer = self._timers.pop(event)
        if timer is not None:
            timer.cancel()
            if not self.holding:
                log.info("the broker confirms settlements again; events begin again")
                self._hold_back(False)

    def _let_others_begin(self, event: object) -> None:
        self._timers[event] = None
        self._stuck(event)
        if not self.holding:
            why = self._trouble()
            log.warning(
                "a settlement is still not confirmed after %g s; it is repeated, and other events begin",
                HOLDS_UP_FOR,
                extra={"why": why},
            )
            self._hold_back(False)
