"""A slot that is an own child: what goes wrong on its connection ends that child, and no other."""

import asyncio
from dataclasses import replace

from bridge.fastcgi import Limits
from bridge.outcome import BrokenOff, Exchange, NotTaken, Reply
from worker.pool.child import Child
from worker.transport import Transport

EXIT_SEEN_WITHIN = 0.5
"""Seconds between the end of a child's connection and its exit status, where the child ended by itself."""


class ChildSlot:
    """Room for one event in flight, in a child of our own."""

    def __init__(self, child: Child, transport: Transport) -> None:
        self.child = child
        self._transport = transport

    def __repr__(self) -> str:
        return f"<ChildSlot {self.child.pid}>"

    @property
    def usable(self) -> bool:
        """Whether a further request may go through it."""
        return self._transport.usable

    async def exchange(self, parameters: dict[str, str], body: bytes, deadline: float) -> Exchange:
        """Send one request and return what came of it. A child that is out of time, or broke off, is ended."""
        try:
            exchange = await self._transport.exchange(parameters, body, deadline, keep=True)
        except asyncio.CancelledError:
            self.child.kill()
            raise
        match exchange:
            case Reply() | NotTaken():
                return exchange
            case BrokenOff(why=why):
                return replace(exchange, why=f"{why}; {await self._end()}")
        self.child.kill()
        return exchange

    async def _end(self) -> str:
        try:
            async with asyncio.timeout(EXIT_SEEN_WITHIN):
                return f"the process {await self.child.exited()}"
        except TimeoutError:
            self.child.kill()
            return "the process was ended for it"


async def open_slot(child: Child) -> ChildSlot:
    """Return the slot of a child that is ready."""
    loop = asyncio.get_running_loop()
    _, transport = await loop.create_connection(lambda: Transport(Limits()), sock=child.socket)
    return ChildSlot(child, transport)
