"""The transport: the socket around `bridge.fastcgi`. One connection, one request at a time, an `Exchange` of each."""

import asyncio
import select
from typing import cast

from bridge.fastcgi import (
    Connection,
    ErrorOutput,
    Limits,
    ProtocolError,
    ProtocolStatus,
    Refused,
    ReplyBody,
    ReplyEnd,
    ReplyEvent,
    ReplyHead,
)
from bridge.outcome import BrokenOff, Exchange, NotTaken, OutOfTime, Reply
from worker.excerpt import Excerpt

EXCERPT = 32 * 1024
"""Bytes of a reply's body, and of its error output, that a transcript can use."""


class _Pending:
    """The reply that is awaited, as far as it has come."""

    def __init__(self, result: asyncio.Future[Exchange], deadline: float) -> None:
        self.result = result
        self.deadline = deadline
        self._head: ReplyHead | None = None
        self._body = Excerpt(EXCERPT)
        self._error_output = Excerpt(EXCERPT)

    def take(self, event: ReplyEvent) -> None:
        match event:
            case ReplyHead():
                self._head = event
            case ReplyBody(data=data):
                self._body.add(data)
            case ErrorOutput(data=data):
                self._error_output.add(data)
            case ReplyEnd(overlong=overlong):
                self.settle(self._reply(overlong))
            case Refused(protocol_status=status):
                self.settle(NotTaken(f"the server answered {status.name}", status is ProtocolStatus.UNKNOWN_ROLE))

    def break_off(self, why: str) -> None:
        self.settle(BrokenOff(why, self._error_output.bytes()))

    def run_out(self) -> None:
        self.settle(OutOfTime(self.deadline, self._error_output.bytes()))

    def settle(self, exchange: Exchange) -> None:
        if not self.result.done():
            self.result.set_result(exchange)

    def _reply(self, overlong: bool) -> Exchange:
        if self._head is None:  # cannot be by the protocol's states, and must not be a reply if it is
            return BrokenOff("the reply ended without a header block", self._error_output.bytes())
        fields: dict[str, list[str]] = {}
        for name, value in self._head.headers:
            fields.setdefault(name.lower(), []).append(value)
        headers = {name: ", ".join(values) for name, values in fields.items()}
        return Reply(self._head.status, headers, self._body.bytes(), self._error_output.bytes(), overlong)


class Transport(asyncio.Protocol):
    """A connected socket that speaks FastCGI."""

    def __init__(self, limits: Limits) -> None:
        self._connection = Connection(limits)
        self._transport: asyncio.Transport | None = None
        self._pending: _Pending | None = None

    @property
    def usable(self) -> bool:
        """Whether a request may go over it."""
        return self._transport is not None and self._pending is None

    @property
    def silent(self) -> bool:
        """Whether nothing waits to be read. On an idle connection anything would be its end, on the way to us."""
        if self._transport is None:
            return True
        looked = select.poll()
        looked.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not looked.poll(0)

    async def exchange(self, parameters: dict[str, str], body: bytes, deadline: float, *, keep: bool) -> Exchange:
        """Send a request and return what came of it. After anything but a whole and clean reply it is closed."""
        if self._transport is None:
            return NotTaken("the connection is closed")
        loop = asyncio.get_running_loop()
        pending = self._pending = _Pending(loop.create_future(), deadline)
        connection = self._connection
        head = connection.begin_request(parameters, keep_connection=keep)
        self._transport.write(b"".join((head, connection.body(body), connection.end_of_body())))
        timer = loop.call_later(deadline, pending.run_out)
        try:
            return await pending.result
        finally:
            timer.cancel()
            self._pending = None
            if not self._connection.reusable:
                self.close()

    def close(self) -> None:
        """Close it at once, whatever is unsent."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        try:
            self._take(self._connection.receive(data))
        except ProtocolError as error:
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

    def _take(self, events: list[ReplyEvent] | tuple[ReplyEvent, ...]) -> None:
        if self._pending is not None:
            for event in events:
                self._pending.take(event)

    def _break_off(self, why: str) -> None:
        if self._pending is not None:
            self._pending.break_off(why)
        self.close()
