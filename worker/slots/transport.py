"""The transport: a connected socket that speaks FastCGI by `bridge.fastcgi`, one request at a time."""

import asyncio
import socket
from collections.abc import Callable, Sequence

from bridge.fastcgi import Connection, NotFastCGI, ProtocolError, ReplyEnd, ReplyEvent
from bridge.outcome import Exchange
from worker.slots.arriving_reply import ArrivingReply, LastReply
from worker.slots.slot import EXCERPT, NotTaken

READ_SIZE = 64 * 1024


class Transport:
    """A connected socket that does not block, and the `connection` on it. It is closed after every exchange except a
    complete, clean reply.

    `on_end` is called with the exchange of each request: by `run_out`, or in a later turn of the loop than `send`. The
    transports to one server share `last_reply`.
    """

    def __init__(
        self,
        sock: socket.socket,
        connection: Connection,
        last_reply: LastReply,
        on_end: Callable[[Exchange | NotTaken], None],
    ) -> None:
        self.connection = connection
        self.open = True
        """True until the socket is closed."""
        self._socket = sock
        self._last_reply = last_reply
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._in_flight = False
        self._reply: ArrivingReply | None = None
        self._room = EXCERPT
        self._unsent = memoryview(b"")
        self._refused: OSError | None = None
        """The error of the socket, which takes no further byte. A reply may have come before."""
        self._loop.add_reader(sock, self._read)

    def silent(self) -> bool:
        """Return True if the socket is open, and no byte waits to be read. On an idle connection, a readable socket
        means that the server has closed the connection."""
        if self.open:
            try:
                self._socket.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                return True
            except OSError:
                pass
        return False

    def send(self, request: bytes, room: int) -> None:
        """Send the request that `connection` has made. Of its reply's body, `room` bytes are kept."""
        self._in_flight, self._reply, self._room = True, None, room
        try:
            sent = self._socket.send(request)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._read_the_rest(error)
            return
        if sent < len(request):
            self._unsent = memoryview(request)[sent:]
            self._loop.add_writer(self._socket, self._write)

    def run_out(self, deadline: float) -> None:
        """End the exchange that is under way as at its deadline, which was `deadline` seconds; do nothing if there is
        none."""
        if self._in_flight:
            self._end(self._arriving.out_of_time(deadline))

    def close(self) -> None:
        """Close the socket at once, without `on_end`; a second call does nothing."""
        self._in_flight = False
        if self.open:
            self.open = False
            self._loop.remove_reader(self._socket)
            if self._unsent:
                self._loop.remove_writer(self._socket)
            self._socket.close()

    @property
    def _arriving(self) -> ArrivingReply:
        """The reply as far as it has arrived in pieces."""
        if self._reply is None:
            self._reply = ArrivingReply(self._room)
        return self._reply

    def _read(self) -> None:
        if not self.open:
            return
        try:
            data = self._socket.recv(READ_SIZE)
        except OSError as error:
            if self._refused is not None or not isinstance(error, BlockingIOError):
                self._lose(self._refused or error)
            return
        if not data and self._refused is not None:
            self._lose(self._refused)
            return
        try:
            exchange = self._take(self.connection.receive(data))
        except ProtocolError as error:
            exchange = self._take(error.replies) or self._breach(error)
            self._end(exchange)
            return
        if exchange is not None or not data:
            self._end(exchange)
        else:
            self._loop.call_soon(self._read)  # uvloop watches a socket no more that has an error, as after a reset

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError as error:
            self._loop.remove_writer(self._socket)
            self._read_the_rest(error)
            return
        if not self._unsent:
            self._loop.remove_writer(self._socket)

    def _read_the_rest(self, error: OSError) -> None:
        """Read what the server has sent before it ended the connection."""
        self._refused = error
        self._loop.call_soon(self._read)

    def _take(self, events: Sequence[ReplyEvent]) -> Exchange | NotTaken | None:
        """Take events of the reply; return the exchange if they end it."""
        if not events:
            return None
        if self._reply is None and self._room == EXCERPT and isinstance(events[-1], ReplyEnd):
            return self._last_reply.exchange(events)
        return self._arriving.take(events)

    def _breach(self, error: ProtocolError) -> Exchange | NotTaken:
        if isinstance(error, NotFastCGI):
            return NotTaken(str(error), for_ever=True)
        return self._arriving.broken_off(str(error))

    def _lose(self, error: OSError) -> None:
        in_flight, broken_off = self._in_flight, self._arriving.broken_off(f"the connection was lost: {error}")
        self.close()
        if in_flight:
            self._on_end(broken_off)

    def _end(self, exchange: Exchange | NotTaken | None) -> None:
        """End the exchange, if one is under way; close the socket, unless it can be used again."""
        in_flight, self._in_flight, self._reply = self._in_flight, False, None
        if self._unsent or self._refused is not None or not self.connection.reusable:
            self.close()
        if in_flight and exchange is not None:
            self._on_end(exchange)
