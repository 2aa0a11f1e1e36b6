"""The transport: a socket that speaks FastCGI by `bridge.fastcgi`, one request at a time."""

import asyncio
import select
from collections.abc import Callable
from typing import cast

from bridge.fastcgi import Connection, EncodedRequest, Limits, NotFastCGI, ProtocolError, ReplyEvent
from bridge.outcome import Exchange
from worker.slots.arriving_reply import ArrivingReply
from worker.slots.slot import EXCERPT, NotTaken

_ROUNDING = 0.001
"""Seconds."""


class _Pending:
    """The awaited reply, as far as it has arrived."""

    def __init__(self, result: asyncio.Future[Exchange | NotTaken], deadline: float, room: int) -> None:
        self.result = result
        self.deadline = deadline
        self._loop = result.get_loop()
        self._began = self._loop.time()
        self._timer = self._loop.call_later(deadline, self.run_out)
        self._reply = ArrivingReply(room)

    def extend(self, seconds: float, at_most: float) -> bool:
        """Let the reply arrive up to `seconds` from now, but at most `at_most` after the request. Return True if it has
        so much time."""
        now = self._loop.time()
        if self.result.done():
            return False
        deadline = min(now - self._began + seconds, at_most)
        if deadline > self.deadline:
            self.stop_timer()
            self.deadline = deadline
            self._timer = self._loop.call_at(self._began + deadline, self.run_out)
        return self._began + self.deadline >= now + seconds - _ROUNDING

    def stop_timer(self) -> None:
        self._timer.cancel()

    def take(self, event: ReplyEvent) -> None:
        if (exchange := self._reply.take((event,))) is not None:
            self.settle(exchange)

    def break_off(self, why: str) -> None:
        self.settle(self._reply.broken_off(why))

    def run_out(self) -> None:
        self.settle(self._reply.out_of_time(self.deadline))

    def settle(self, exchange: Exchange | NotTaken) -> None:
        if not self.result.done():
            self.result.set_result(exchange)


def _do_nothing() -> None:
    """Do nothing when the connection ends."""


class Transport(asyncio.Protocol):
    """A connected socket that speaks FastCGI. `ended` is called when the connection has ended, for whatever reason."""

    def __init__(self, limits: Limits, ended: Callable[[], None] = _do_nothing) -> None:
        self._connection = Connection(limits)
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._pending: _Pending | None = None
        self.other_protocol: str | None = None
        """The server's first words, if they show that it is no FastCGI server."""

    @property
    def usable(self) -> bool:
        """True if the connection is open and idle."""
        return self._transport is not None and self._pending is None

    @property
    def silent(self) -> bool:
        """True if no byte waits to be read. On an idle connection, a readable socket means that the server has closed
        the connection."""
        if self._transport is None:
            return True
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    async def exchange(
        self, request: EncodedRequest, deadline: float, *, keep: bool, room: int = EXCERPT
    ) -> Exchange | NotTaken:
        """Send a request and return its exchange, with up to `room` bytes of the reply's body. The connection is closed
        after every exchange except a complete, clean reply."""
        if self._transport is None:
            return NotTaken("the connection is closed")
        return await self.exchange_prepared(self.prepare(request, keep=keep), deadline, room)

    def prepare(self, request: EncodedRequest, *, keep: bool) -> bytes:
        """Return the bytes of the next request, for `exchange_prepared`. The connection need not be open yet: a large
        request takes some time, in which a process of the server would wait for it."""
        return self._connection.send(request, keep_connection=keep)

    async def exchange_prepared(self, request: bytes, deadline: float, room: int = EXCERPT) -> Exchange | NotTaken:
        """Send a prepared request in one piece, as `exchange` does."""
        if self._transport is None:
            return NotTaken("the connection is closed")
        loop = asyncio.get_running_loop()
        pending = self._pending = _Pending(loop.create_future(), deadline, room)
        self._transport.write(request)
        try:
            return await pending.result
        finally:
            pending.stop_timer()
            self._pending = None
            if not self._connection.reusable:
                self.close()

    def extend(self, seconds: float, at_most: float) -> bool:
        """Let the running exchange take `seconds` from now, but at most `at_most` in all. Its deadline never comes
        sooner than before. Return True if the exchange has so much time, False too if none runs."""
        return self._pending is not None and self._pending.extend(seconds, at_most)

    @property
    def deadline(self) -> float | None:
        """The seconds that the running exchange may take; None if none runs."""
        return None if self._pending is None else self._pending.deadline

    def cut_short(self) -> None:
        """End the exchange that is under way as at its deadline; do nothing if there is none."""
        if self._pending is not None:
            self._pending.run_out()

    def close(self) -> None:
        """Close the connection at once, and drop unsent bytes."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from it

    def data_received(self, data: bytes) -> None:
        try:
            self._take(self._connection.receive(data))
        except ProtocolError as error:
            if isinstance(error, NotFastCGI):
                self.other_protocol = str(error)
            self._take(error.replies)
            self._break_off(str(error))

    def eof_received(self) -> None:
        try:
            self._connection.receive(b"")
        except ProtocolError as error:
            self._break_off(str(error))
        self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._pending is not None:
            self._pending.break_off(f"the connection was lost: {error or 'closed'}")
        self._ended()

    def _take(self, events: list[ReplyEvent] | tuple[ReplyEvent, ...]) -> None:
        if self._pending is not None:
            for event in events:
                self._pending.take(event)

    def _break_off(self, why: str) -> None:
        if self._pending is not None:
            self._pending.break_off(why)
        self.close()
