"""A slot that is a child of the worker's own pool. A fault on its connection ends that child only.

Lines that the child prints while an event runs in it belong to that event: they are logged with the event, and are in
its transcript.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Protocol

from bridge.child_protocol import Extend, Extended, Progress
from bridge.console.app_output import level_of
from bridge.console.printable import printable
from bridge.fastcgi import Limits
from bridge.logger import log
from bridge.moments import Progressed, Tell, tell_nobody
from bridge.outcome import BrokenOff, Exchange, OutOfTime, Reply
from worker.pool.child import Child
from worker.pool.supervisor import CLEAN_UP_WITHIN, EXIT_SEEN_WITHIN
from worker.slots.slot import NotTaken, Request
from worker.slots.transcript import Excerpt, log_error_output
from worker.slots.transport import Transport

PRINTED_KEPT = 32 * 1024
"""Bytes of a child's output during one attempt that are kept for the transcript."""


class Keeper(Protocol):
    """Keeps the seat of the child filled: the supervisor of the pool."""

    def served(self, child: Child) -> None:
        """Count one more request that the child has served."""

    def condemn(self, child: Child, why: str) -> None:
        """Fill the child's seat at once, because the child is about to be ended."""

    def cut_off(self, child: Child) -> None:
        """Replace the child, because its connection has ended."""


class ChildSlot:
    """Room for one request in flight, in a child of the worker's own pool."""

    def __init__(self, child: Child, transport: Transport, keeper: Keeper, tell: Tell = tell_nobody) -> None:
        self.child = child
        self.running: Request | None = None
        """The request that runs in the child; None while it is idle."""
        self.since = 0.0
        """When that request began, by the loop's clock."""
        self.broken_by: Request | None = None
        """The request in which the connection broke or the time ran out; None while the child is sound."""
        self.progress: Progress | None = None
        """The progress that its listener has told last."""
        self._transport = transport
        self._keeper = keeper
        self._tell = tell
        self._printed: Excerpt | None = None
        self._interrupted = False
        child.output.on_printed = self._log_printed
        child.news.on_news = self._take_news

    def __repr__(self) -> str:
        return f"<ChildSlot {self.child.pid}>"

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self.child.pid

    @property
    def usable(self) -> bool:
        """True if the child can run a further request."""
        return self._transport.usable

    @property
    def deadline(self) -> float | None:
        """The seconds that the running request may take; None while the child is idle."""
        return self._transport.deadline

    async def exchange(self, request: Request, deadline: float) -> Exchange | NotTaken:
        """Send a request and return its exchange, with the lines that the child printed meanwhile. If the request timed
        out or the connection broke, the child has ended by then."""
        self.running, self.since = request, asyncio.get_running_loop().time()
        self.child.used = True
        try:
            answer = await self._transport.exchange(request.encoded, deadline, keep=True, room=request.room)
            exchange = await self._outcome(answer)
            self.child.output.drain()
            log_error_output(request, answer)
            return self._with_printed_lines(exchange)
        except asyncio.CancelledError:
            self.child.kill()
            raise
        finally:
            self.running, self.progress, self._printed = None, None, None

    def interrupt(self) -> None:
        """End the request that runs, and its child, as at its deadline."""
        self._interrupted = self.running is not None
        self._transport.cut_short()

    async def _outcome(self, exchange: Exchange | NotTaken) -> Exchange | NotTaken:
        match exchange:
            case Reply():
                self._keeper.served(self.child)
            case BrokenOff(why=why):
                self.broken_by = self.running
                return replace(exchange, why=f"{await self._end()}; {why}")
            case OutOfTime():
                self.broken_by = self.running
                timed_out = f"timed out after {exchange.deadline:g} s"
                self._keeper.condemn(self.child, "ends with its cancelled event" if self._interrupted else timed_out)
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
            return "the process was killed"

    def _take_news(self, news: Progress | Extend) -> None:
        """Take the news of the event that runs. A thread that the app has left running may tell of an earlier one."""
        running = self.running
        current = running if running is not None and running.id == news.id else None
        match news:
            case Extend():
                at_most = None if current is None else current.deadline_at_most
                granted = at_most is not None and self._transport.extend(news.seconds, at_most)
                self.child.news.answer(Extended(news.number, granted))
            case Progress() if current is not None:
                note = printable(news.note)
                self.progress = replace(news, note=note)
                self._tell(
                    Progressed(current.event, news.id, current.queue, current.attempt, news.done, news.total, note)
                )
            case Progress():
                pass

    def _log_printed(self, pid: int, record: str) -> None:
        level = level_of(record, logging.INFO)
        if self.running is None:
            log.log(level, "%s", record, extra={"child": pid})
            return
        log.log(level, "%s", record, extra={"child": pid, "event": self.running.event, "id": self.running.id})
        if self._printed is None:
            self._printed = Excerpt(PRINTED_KEPT)
        self._printed.add(f"{record}\n".encode())

    def _with_printed_lines(self, exchange: Exchange | NotTaken) -> Exchange | NotTaken:
        if self._printed is None or isinstance(exchange, NotTaken):
            return exchange
        return replace(exchange, error_output=_joined(self._printed.bytes(), exchange.error_output))


def _joined(first: bytes, second: bytes) -> bytes:
    return first + b"\n" + second if first and second and not first.endswith(b"\n") else first + second


async def open_slot(child: Child, keeper: Keeper, tell: Tell = tell_nobody) -> ChildSlot:
    """Return the slot of a child that is ready."""
    loop = asyncio.get_running_loop()
    _, transport = await loop.create_connection(
        lambda: Transport(Limits(), lambda: keeper.cut_off(child)), sock=child.socket
    )
    return ChildSlot(child, transport, keeper, tell)
