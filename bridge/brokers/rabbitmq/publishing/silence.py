"""Notices that RabbitMQ answers no publish for some time."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SILENT_SECONDS = 2.0


class Silence:
    """Calls `doubt` when publishes wait, or have waited in vain, and none was answered for `SILENT_SECONDS`; and again
    after each further silence of that length."""

    def __init__(self, doubt: Callable[[], None]) -> None:
        self._doubt = doubt
        self._waiting = 0
        self._in_vain = False
        self._heard = 0.0
        self._looking = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count a publish that waits for its answer in this block. If the block ends by `TimeoutError` or is cancelled,
        the publish has waited in vain; anything else is an answer."""
        loop = asyncio.get_running_loop()
        self._waiting += 1
        if not self._looking:
            self._heard, self._looking = loop.time(), True
            loop.call_later(SILENT_SECONDS, self._look)
        try:
            yield
        except (TimeoutError, asyncio.CancelledError):
            self._in_vain = True
            raise
        else:
            self._heard, self._in_vain = loop.time(), False
        finally:
            self._waiting -= 1

    def _look(self) -> None:
        if not self._waiting and not self._in_vain:
            self._looking = False
            return
        loop = asyncio.get_running_loop()
        quiet_until = self._heard + SILENT_SECONDS
        if loop.time() >= quiet_until:
            self._in_vain = False
            self._doubt()
            quiet_until = loop.time() + SILENT_SECONDS
        loop.call_at(quiet_until, self._look)
