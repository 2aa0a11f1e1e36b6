"""What SIGTERM and SIGINT ask for: the first to stop, the second to end now."""

import asyncio
import signal
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
HANDLED = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Listens while it is entered."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        """Somebody asked us to stop."""
        self.end = asyncio.Event()
        """Somebody asked us a second time: end now."""

    def __enter__(self) -> Self:
        for number in HANDLED:
            asyncio.get_running_loop().add_signal_handler(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number in HANDLED:
            asyncio.get_running_loop().remove_signal_handler(number)

    async def heard(self) -> str:
        """Wait for the first, and return it as a reason to stop."""
        await self.stop.wait()
        return "asked to"

    def _note(self) -> None:
        (self.end if self.stop.is_set() else self.stop).set()


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
