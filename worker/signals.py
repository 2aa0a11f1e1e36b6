"""Signals. SIGTERM and SIGINT: the first asks to stop, the second to end now. What others mean, their user says."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from bridge.telemetry import log

T = TypeVar("T")

OPERATORS = (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)
"""What an operator asks by. By default SIGHUP would end the program."""


class Handlers:
    """Calls what is said for each signal, in the event loop, while it is entered; afterwards they are ignored."""

    def __init__(self, handlers: Mapping[signal.Signals, Callable[[], None]]) -> None:
        self._handlers = handlers

    def __enter__(self) -> Self:
        for number, handler in self._handlers.items():
            asyncio.get_running_loop().add_signal_handler(number, handler)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number in self._handlers:
            asyncio.get_running_loop().add_signal_handler(number, _ignore, number)


class StopSignals:
    """Listens while it is entered. Meanwhile an operator's signals are ignored, unless there are `Handlers` for them:
    they may come before there is anything to reload, or when it ends."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        """Somebody asked us to stop."""
        self.end = asyncio.Event()
        """Somebody asked us a second time: end now."""

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._note)
        for number in OPERATORS:
            loop.add_signal_handler(number, _ignore, number)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, *OPERATORS):
            asyncio.get_running_loop().remove_signal_handler(number)

    async def heard(self) -> str:
        """Wait for the first, and return it as a reason to stop."""
        await self.stop.wait()
        return "asked to"

    def _note(self) -> None:
        (self.end if self.stop.is_set() else self.stop).set()


def _ignore(number: signal.Signals) -> None:
    log.info("%s is ignored: the pool is not open, or not any more", number.name)


async def unless(asked: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what the work returns; None where it was asked for first. Then the work is cancelled, and has ended."""
    task = asyncio.create_task(work)
    asking = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait((task, asking), return_when=asyncio.FIRST_COMPLETED)
    finally:
        asking.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
    return None if task.cancelled() else task.result()
