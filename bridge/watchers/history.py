"""The watcher that writes settled attempts to the log `history`: many in one record, unconfirmed, best effort."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from bridge.errors import TooLarge
from bridge.history import record_of, row_of
from bridge.logs import Content
from bridge.moments import Moment, Settled

GATHER_SECONDS = 0.1
"""The time in which attempts are gathered for one record. The log then gathers records for a batch."""

MOST_ROWS = 100
"""The most attempts of one record."""


class HistoryWatcher:
    """Gathers the attempts that this worker settles, and passes them to `append_soon` of the log. It belongs to one
    event loop. `now` returns seconds since 1970."""

    def __init__(self, append_soon: Callable[[Content], None], now: Callable[[], float] = time.time) -> None:
        self._append_soon = append_soon
        self._now = now
        self._host, self._pid = socket.gethostname(), os.getpid()
        self._rows: list[list[Any]] = []
        self._timer: asyncio.TimerHandle | None = None

    def hears(self, kind: type) -> bool:
        """Return whether a moment of this type counts."""
        return kind is Settled

    def __call__(self, moment: Moment) -> None:
        if not isinstance(moment, Settled):
            return
        self._rows.append(row_of(moment, self._now()))
        if len(self._rows) >= MOST_ROWS:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def flush(self) -> None:
        """Pass on what has been gathered. Call this before the log is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows, self._rows = self._rows, []
        if rows:
            self._append(rows)

    def _append(self, rows: list[list[Any]]) -> None:
        """Append a record of these rows, or, if long names make it too large, several records."""
        try:
            self._append_soon(record_of(rows, self._host, self._pid))
        except TooLarge:
            if len(rows) == 1:
                raise
            middle = len(rows) // 2
            self._append(rows[:middle])
            self._append(rows[middle:])
