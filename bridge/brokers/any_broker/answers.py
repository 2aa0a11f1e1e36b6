"""The answers to one question that is asked of all listeners."""

import asyncio
from contextlib import suppress

from bridge.brokers.contract.broadcast import Complete
from bridge.logs import Content


class Answers:
    """The answers that have arrived so far."""

    def __init__(self) -> None:
        self.arrived: list[Content] = []
        self._more = asyncio.Event()

    def add(self, answer: Content) -> None:
        """Add an answer."""
        self.arrived.append(answer)
        self._more.set()

    async def completed(self, complete: Complete, until: float) -> None:
        """Wait until the answers are complete, or until this time of the event loop."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while not complete(self.arrived):
                    self._more.clear()
                    await self._more.wait()
