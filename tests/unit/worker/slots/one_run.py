"""One run through a slot, and its end."""

import asyncio
from collections.abc import Sequence

from bridge.outcome import Exchange
from worker.slots.slot import End, NotTaken, Request, Run, Slot


class OneRun:
    """The line of one run."""

    def __init__(self) -> None:
        self.end: asyncio.Future[Exchange | NotTaken] = asyncio.get_running_loop().create_future()

    def ended(self, run: Run, exchange: Exchange | NotTaken, seconds: float) -> None:
        self.end.set_result(exchange)

    def ended_together(self, ends: Sequence[End], seconds: float) -> None:
        ((_, exchange),) = ends
        self.end.set_result(exchange)

    def failed(self, run: Run, error: Exception) -> None:
        self.end.set_exception(error)

    def recalled(self, runs: Sequence[Run]) -> None:
        assert not runs


async def run_in(slot: Slot, request: Request, deadline: float = 10.0) -> Exchange | NotTaken:
    """Run a request in a slot and return its exchange. On cancellation, abandon the run."""
    line = OneRun()
    run = Run(request, deadline, line)
    slot.begin(run)
    try:
        return await line.end
    except asyncio.CancelledError:
        slot.abandon(run)
        raise
