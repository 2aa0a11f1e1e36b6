"""A slot that is an own child: what goes wrong on its connection ends that child, and no other.

What the child prints while an event runs in it belongs to that event: it is logged with it, and its transcript has it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from bridge.fastcgi import Limits
from bridge.outcome import BrokenOff, Exchange, NotTaken, OutOfTime, Reply
from bridge.telemetry import log
from worker.error_output import tell_error_output
from worker.excerpt import Excerpt
from worker.pool.child import Child
from worker.transport import Transport

EXIT_SEEN_WITHIN = 0.5
"""Seconds between the end of a child's connection and its exit status, where the child ended by itself."""

CLEAN_UP_WITHIN = 1.0
"""Seconds between SIGTERM and SIGKILL for a child that is out of time."""

PRINTED_KEPT = 32 * 1024
"""Bytes of what a child prints during an attempt that a transcript can use."""


class Keeper(Protocol):
    """Who keeps the child's seat filled."""

    def served(self, child: Child) -> None:
        """Hear that it has served one more request."""

    def condemn(self, child: Child, why: str) -> None:
        """Fill its seat at once, for it is about to be ended."""


@dataclass(frozen=True, slots=True)
class Running:
    """The event that runs in a slot, and since when by the loop's clock."""

    event: str
    id: str
    queue: str
    attempt: int
    since: float


class ChildSlot:
    """Room for one event in flight, in a child of our own."""

    def __init__(self, child: Child, transport: Transport, keeper: Keeper) -> None:
        self.child = child
        self.running: Running | None = None
        self._transport = transport
        self._keeper = keeper
        self._printed: Excerpt | None = None
        child.output.hear = self._hear

    def __repr__(self) -> str:
        return f"<ChildSlot {self.child.pid}>"

    @property
    def usable(self) -> bool:
        """Whether a further request may go through it."""
        return self._transport.usable

    async def exchange(self, parameters: dict[str, str], body: bytes, deadline: float) -> Exchange:
        """Send one request and return what came of it, with what the child printed meanwhile. A child that is out of
        time, or broke off, has ended by then."""
        self.running = _running(parameters)
        try:
            answer = await self._transport.exchange(parameters, body, deadline, keep=True)
            exchange = await self._outcome(answer)
            self.child.output.drain()
            tell_error_output(parameters, answer)
            return self._with_what_was_printed(exchange)
        except asyncio.CancelledError:
            self.child.kill()
            raise
        finally:
            self.running, self._printed = None, None

    async def _outcome(self, exchange: Exchange) -> Exchange:
        match exchange:
            case Reply():
                self._keeper.served(self.child)
            case BrokenOff(why=why):
                return replace(exchange, why=f"{why}; {await self._end()}")
            case OutOfTime():
                self._keeper.condemn(self.child, f"ran out of time after {exchange.deadline:g} s")
                stacks = await self.child.stacks()
                await self.child.destroy(CLEAN_UP_WITHIN)
                return replace(exchange, error_output=_joined(exchange.error_output, stacks))
            case NotTaken():
                pass
        return exchange

    async def _end(self) -> str:
        try:
            async with asyncio.timeout(EXIT_SEEN_WITHIN):
                return f"the process {await self.child.exited()}"
        except TimeoutError:
            self.child.kill()
            return "the process was ended for it"

    def _hear(self, pid: int, line: str) -> None:
        if self.running is None:
            log.info("%s", line, extra={"child": pid})
            return
        log.info("%s", line, extra={"child": pid, "event": self.running.event, "id": self.running.id})
        if self._printed is None:
            self._printed = Excerpt(PRINTED_KEPT)
        self._printed.add(f"{line}\n".encode())

    def _with_what_was_printed(self, exchange: Exchange) -> Exchange:
        if self._printed is None or isinstance(exchange, NotTaken):
            return exchange
        return replace(exchange, error_output=_joined(self._printed.bytes(), exchange.error_output))


def _running(parameters: Mapping[str, str]) -> Running:
    return Running(
        parameters["HTTP_CE_TYPE"],
        parameters["HTTP_CE_ID"],
        parameters["BRIDGE_QUEUE"],
        int(parameters["BRIDGE_ATTEMPT"]),
        asyncio.get_running_loop().time(),
    )


def _joined(first: bytes, second: bytes) -> bytes:
    return first + b"\n" + second if first and second and not first.endswith(b"\n") else first + second


async def open_slot(child: Child, keeper: Keeper) -> ChildSlot:
    """Return the slot of a child that is ready."""
    loop = asyncio.get_running_loop()
    _, transport = await loop.create_connection(lambda: Transport(Limits()), sock=child.socket)
    return ChildSlot(child, transport, keeper)
