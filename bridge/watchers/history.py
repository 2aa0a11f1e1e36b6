"""The watcher that writes settled attempts, and the progress of running ones, to the log `history`: many in one record,
unconfirmed, best effort.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from bridge import progress_records
from bridge.errors import TooLarge
from bridge.history import record_of, row_of
from bridge.logs import Content
from bridge.moments import Moment, Progressed, Settled

GATHER_SECONDS = 0.1
"""The time in which attempts are gathered for one record. The log then gathers records for a batch."""

MOST_ROWS = 100
"""The most attempts of one record."""

PROGRESS_SECONDS = 1.0
"""The time after which the newest progress of each event is written."""

Row = list[Any]
MakeRecord = Callable[[list[Row], str, int], Content]


class HistoryWatcher:
    """Gathers the attempts that this worker settles, and passes them to `append_soon` of the log. It belongs to one
    event loop. `now` returns seconds since 1970."""

    def __init__(self, append_soon: Callable[[Content], None], now: Callable[[], float] = time.time) -> None:
        self._append_soon = append_soon
        self._now = now
        self._host, self._pid = socket.gethostname(), os.getpid()
        self._rows: list[Row] = []
        self._timer: asyncio.TimerHandle | None = None
        self._progress: dict[tuple[str, str], Row] = {}
        self._progress_timer: asyncio.TimerHandle | None = None

    def hears(self, kind: type) -> bool:
        """Return whether a moment of this type counts."""
        return kind in (Settled, Progressed)

    def __call__(self, moment: Moment) -> None:
        if isinstance(moment, Settled):
            self._settled(moment)
        elif isinstance(moment, Progressed):
            self._progressed(moment)

    def flush(self) -> None:
        """Pass on what has been gathered. Call this before the log is closed."""
        self._flush_progress()
        self._flush_attempts()

    def _settled(self, moment: Settled) -> None:
        if self._progress and (moment.event.id, moment.queue) in self._progress:
            self._flush_progress()  # so that a reader learns of it before the end of its event
        self._rows.append(row_of(moment, self._now()))
        if len(self._rows) >= MOST_ROWS:
            self._flush_attempts()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush_attempts)

    def _flush_attempts(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows, self._rows = self._rows, []
        self._append(rows, record_of)

    def _progressed(self, moment: Progressed) -> None:
        self._progress[moment.id, moment.queue] = progress_records.row_of(moment, self._now())
        if self._progress_timer is None:
            self._progress_timer = asyncio.get_running_loop().call_later(PROGRESS_SECONDS, self._flush_progress)

    def _flush_progress(self) -> None:
        if self._progress_timer is None:
            return
        self._progress_timer.cancel()
        self._progress_timer = None
        rows, self._progress = list(self._progress.values()), {}
        self._append(rows, progress_records.record_of)

    def _append(self, rows: list[Row], make: MakeRecord) -> None:
        """Append a record of these rows, or, if long texts make it too large, several records."""
        if not rows:
            return
        try:
            self._append_soon(make(rows, self._host, self._pid))
        except TooLarge:
            if len(rows) == 1:
                raise
            middle = len(rows) // 2
            self._append(rows[:middle], make)
            self._append(rows[middle:], make)
