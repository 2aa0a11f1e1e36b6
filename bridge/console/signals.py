"""The signals of a program that runs on an event loop. The first SIGTERM or SIGINT asks the program to stop, a second
one to stop at once. The program defines the meaning of the other signals."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from bridge.logger import log

T = TypeVar("T")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
OPERATOR_SIGNALS = (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)
"""The signals that reload and resize a pool. Without a handler, SIGHUP would end the program."""


class Handlers:
    """A context manager in which each of these signals calls its function in the event loop. After the context, the
    signals are ignored."""

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
    """A context manager that handles the stop signals. It also ignores the operator's signals outside `Handlers`, since
    they can arrive before the pool is open or while the program stops."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        """Set by the first signal: the program finishes the work in progress and exits."""
        self.end = asyncio.Event()
        """Set by the second signal: the program exits at once."""

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._note)
        for number in OPERATOR_SIGNALS:
            loop.add_signal_handler(number, _ignore, number)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number in (*STOP_SIGNALS, *OPERATOR_SIGNALS):
            asyncio.get_running_loop().remove_signal_handler(number)

    async def heard(self) -> str:
        """Wait for the first signal, and return the reason to stop, for the log."""
        await self.stop.wait()
        return "asked to"

    def _note(self) -> None:
        (self.end if self.stop.is_set() else self.stop).set()


def _ignore(number: signal.Signals) -> None:
    log.info("ignoring %s: the pool is not open yet, or is stopping", number.name)


async def unless(asked: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Run the work and return its result. If the event is set first, cancel the work, wait for its end, and return
    None."""
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


@dataclass(slots=True)
class Stop:
    """The request to stop a program that works step by step. The first signal sets `wished`; `by` is that signal."""

    wished: asyncio.Event = field(default_factory=asyncio.Event)
    by: signal.Signals | None = None


@contextmanager
def stop_on_signals(say: Callable[[], None]) -> Iterator[Stop]:
    """Yield a `Stop` that the first SIGINT or SIGTERM sets. That signal also calls `say`; a second signal ends the
    program."""
    loop = asyncio.get_running_loop()
    stop = Stop()

    def wish(number: signal.Signals) -> None:
        stop.by = number
        stop.wished.set()
        for each in STOP_SIGNALS:
            loop.remove_signal_handler(each)
        say()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, wish, number)
    try:
        yield stop
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
