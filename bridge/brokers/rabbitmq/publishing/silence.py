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
        self.begin()
        answered = True
        try:
            yield
        except (TimeoutError, asyncio.CancelledError):
            answered = False
            raise
        finally:
            self.end(answered=answered)

    def begin(self) -> None:
        """Count a publish that waits for its answer."""
        self._waiting += 1
        if not self._looking:
            loop = asyncio.get_running_loop()
            self._heard, self._looking = loop.time(), True
            loop.call_later(SILENT_SECONDS, self._look)

    def end(self, *, answered: bool) -> None:
        """Note that a publish waits no longer: it was `answered`, or has waited in vain."""
        self._waiting -= 1
        if answered:
            self._heard = asyncio.get_running_loop().time()
        self._in_vain = not answered

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
