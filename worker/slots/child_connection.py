"""The worker's end of an own child's connection: several requests in flight, each with a start token.

A request that was sent has not begun as long as its token can be taken back. Of those that have begun and have no reply
only the last one can run: the child sends a whole reply before it takes the next token. So `recall`, and then `read`,
leave at most the request that runs.
"""

import asyncio
import socket
from collections.abc import Callable

from bridge.child_protocol import StartToken
from bridge.fastcgi import EncodedRequest, Limits, ProtocolError, ReplyEvent
from bridge.fastcgi.pipeline import Pipeline
from worker.pool.start_tokens import StartTokens

READ_SIZE = 64 * 1024
MOST_READS = 64
"""Reads in a row of one connection, after which the other connections have their turn."""

OnReplies = Callable[[list[tuple[ReplyEvent, ...]]], None]


class ChildConnection:
    """A connected socket, and the tokens of the requests on it. Requests are known by their numbers.

    `on_replies` is called with what has arrived, `on_refusal` if the child takes no further request, and `on_end` once
    with the reason when the connection has ended, in whatever way. The tokens can still be taken back then.
    """

    def __init__(
        self,
        sock: socket.socket,
        tokens: StartTokens,
        on_replies: OnReplies,
        on_refusal: Callable[[], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._socket = sock
        self._tokens = tokens
        self._on_replies = on_replies
        self._on_refusal = on_refusal
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._pipeline = Pipeline(Limits())
        self._given: list[tuple[StartToken, bytes]] = []
        self._unsent = b""
        self.stalled = False
        """True if the child has not read all that was sent, so that the rest waits in this process."""
        self._flushing: asyncio.Handle | None = None
        self.open = True
        """True until the connection has ended."""
        self.takes_more = True
        """False if the child takes no further token, because it ends after the request that runs."""
        sock.setblocking(False)
        self.watch(by_loop=True)

    def give(self, request: EncodedRequest, *, marked: bool) -> int:
        """Return the number of a further request, which `flush` sends, at the latest in the next turn of the loop.
        `marked`: the child writes an output mark before the request begins."""
        number, data = self._pipeline.send(request)
        self._given.append((StartToken(number, marked), data))
        if self._flushing is None:
            self._flushing = self._loop.call_soon(self.flush)
        return number

    def flush(self) -> None:
        """Send the requests that were given: first their tokens, so that no request is without one."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if not (self._given and self.takes_more):
            return  # `recall` returns what was not sent
        if not self._tokens.put(token for token, _ in self._given):
            self.takes_more = False
            self._on_refusal()
            return
        requests = b"".join(data for _, data in self._given)
        self._given.clear()
        if self.stalled:
            self._unsent += requests
        elif rest := self._send(requests):
            self._unsent, self.stalled = rest, True
            self._loop.add_writer(self._socket, self._writable)

    def recall(self, *, first: bool) -> list[int]:
        """Return the numbers of the requests that have not begun, in their order: they will not begin any more. Unless
        `first`, the first of all requests in flight stays with the child, whether it has begun or not."""
        tokens = [*self._tokens.take_back(), *(token for token, _ in self._given)]
        unsent = {token.request: (token, data) for token, data in self._given}
        self._given.clear()
        if tokens and not first and tokens[0].request == self._pipeline.first:
            head = tokens.pop(0)
            if head.request in unsent:
                self._given.append(unsent[head.request])
            elif not self._tokens.put((head,)):
                tokens.insert(0, head)
                self.takes_more = False
        numbers = [token.request for token in tokens]
        self._pipeline.withdraw(numbers)
        return numbers

    def watch(self, *, by_loop: bool) -> None:
        """Process what arrives at once, or when `read` is called."""
        if not self.open:
            return
        if by_loop:
            self._loop.add_reader(self._socket, self._readable)
        else:
            self._loop.remove_reader(self._socket)

    def _readable(self) -> None:
        """Read what has arrived, and in the next turn what follows it. uvloop watches a socket no more that has an
        error, as after the end of a child with unread requests."""
        self.read()
        if self.open:
            self._loop.call_soon(self.read)

    def read(self) -> None:
        """Process what has arrived, all of it if that is not very much."""
        for _ in range(MOST_READS):
            if (self._read() or 0) < READ_SIZE:
                return  # there is no more, or it wakes the loop

    def _read(self) -> int | None:
        """Process the result of one read. Return its number of bytes, or None if there is nothing more to read."""
        if not self.open:
            return None
        try:
            data = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            self.end(f"the connection was lost: {error}")
            return None
        if not data:
            self.end(self._pipeline.end_of_stream())
            return None
        self._receive(data)
        return len(data)

    def close(self) -> None:
        """End the connection, without `on_end`."""
        if not self.open:
            return
        self.open = self.takes_more = False
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        if self._flushing is not None:
            self._flushing.cancel()
        self._socket.close()

    def _receive(self, data: bytes) -> None:
        replies: list[tuple[ReplyEvent, ...]] = []
        broken: ProtocolError | None = None
        try:
            replies.extend(events for _, events in self._pipeline.receive(data))
        except ProtocolError as error:
            broken = error
        if replies:
            self._on_replies(replies)
        if broken is not None:
            self.end(str(broken))

    def end(self, why: str) -> None:
        """End the connection for this reason, unless it has ended."""
        if self.open:
            self.close()
            self._on_end(why)

    def _send(self, data: bytes) -> bytes:
        """Send what the socket takes, and return the rest."""
        try:
            return data[self._socket.send(data) :]
        except (BlockingIOError, InterruptedError):
            return data
        except OSError:  # the child has ended, and the end of the stream follows its last reply
            return b""

    def _writable(self) -> None:
        self._unsent = self._send(self._unsent)
        self.stalled = bool(self._unsent)
        if not self.stalled:
            self._loop.remove_writer(self._socket)
