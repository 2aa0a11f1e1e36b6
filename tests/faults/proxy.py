"""A TCP proxy that simulates a bad network between the programs and their broker. It understands no protocol.

It runs in a thread of this process. `black_hole()`, `latency()` and `trickle()` apply to all connections, also to new
ones, until `clear()`. `reset()` and `half_open()` apply once, to the existing connections.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

CHUNK = 64 * 1024
BUFFERED = 256
"""The most chunks that are buffered in one direction of a connection."""

_END = b""


class Proxy:
    """A proxy to one port of this host; a context manager. Its methods may be called from any thread, and return when
    they have taken effect."""

    def __init__(self, target: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._network = _Network()
        self._lines: set[_Line] = set()
        self._ghosts: list[socket.socket] = []
        self._accepting: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._begin)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, url: str) -> str:
        """Return this URL of the target with the proxy's address."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))

    def reset(self) -> None:
        """End every connection by a RST to both sides."""
        self._do(self._reset)

    def half_open(self, told: Literal["client", "server"]) -> None:
        """End every connection by a RST to the side `told`. The other side gets no error; its bytes are not read."""

        async def half_open() -> None:
            for line in tuple(self._lines):
                self._ghosts.append(await line.end_for(told))

        self._do(half_open)

    def black_hole(self) -> None:
        """Accept connections and bytes but forward none, without an error. The bytes arrive after `clear()`, as the
        retransmissions in a repaired network do."""

        async def black_hole() -> None:
            self._network.passing.clear()

        self._do(black_hole)

    def latency(self, seconds: float) -> None:
        """Delay all bytes by this many seconds in each direction, and keep their order."""

        async def latency() -> None:
            self._network.seconds = seconds

        self._do(latency)

    def trickle(self) -> None:
        """Forward one byte at a time."""

        async def trickle() -> None:
            self._network.piece = 1

        self._do(trickle)

    def clear(self) -> None:
        """Forward bytes without any fault again."""

        async def clear() -> None:
            self._network.clear()

        self._do(clear)

    def _do(self, verb: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(verb(), self._loop).result()

    async def _reset(self) -> None:
        for line in tuple(self._lines):
            _rst(await line.end_for("server"))

    async def _begin(self) -> None:
        self._accepting = self._loop.create_task(self._accept())

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            server = _unconnected()
            try:
                await self._loop.sock_connect(server, ("127.0.0.1", self._target))
            except OSError:
                server.close()
                _rst(client)
            else:
                self._lines.add(_Line(client, server, self._network, self._lines.discard))

    async def _close(self) -> None:
        if self._accepting is not None:
            await _ended(self._accepting)
        self._listener.close()
        await self._reset()
        for ghost in self._ghosts:
            ghost.close()


class _Network:
    """The current state of the network, for all connections."""

    def __init__(self) -> None:
        self.passing = asyncio.Event()
        self.clear()

    def clear(self) -> None:
        self.seconds = 0.0
        self.piece = CHUNK
        self.passing.set()


class _Line:
    """One connection through the proxy: a socket to each side, and two directions."""

    def __init__(
        self, client: socket.socket, server: socket.socket, network: _Network, gone: Callable[["_Line"], None]
    ) -> None:
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client, self._server = client, server
        self._network = network
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._carrying = self._loop.create_task(self._carry_both())

    async def end_for(self, told: Literal["client", "server"]) -> socket.socket:
        """End the connection by a RST to one side; return the socket to the other side."""
        await _ended(self._carrying)
        told_end, other = (self._client, self._server) if told == "client" else (self._server, self._client)
        _rst(told_end)
        return other

    async def _carry_both(self) -> None:
        """Forward both directions until both have ended or one breaks; then close both sockets."""
        try:
            async with asyncio.TaskGroup() as directions:
                for source, sink in ((self._client, self._server), (self._server, self._client)):
                    on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(BUFFERED)
                    directions.create_task(self._take(source, on_its_way))
                    directions.create_task(self._hand_on(on_its_way, sink))
        except* OSError:
            _rst(self._client)
            _rst(self._server)
        else:
            self._client.close()
            self._server.close()
        finally:
            self._gone(self)

    async def _take(self, source: socket.socket, on_its_way: "asyncio.Queue[tuple[float, bytes]]") -> None:
        chunk = None
        while chunk != _END:
            chunk = await self._loop.sock_recv(source, CHUNK)
            await on_its_way.put((self._loop.time() + self._network.seconds, chunk))

    async def _hand_on(self, on_its_way: "asyncio.Queue[tuple[float, bytes]]", sink: socket.socket) -> None:
        while True:
            due, chunk = await on_its_way.get()
            await asyncio.sleep(due - self._loop.time())
            await self._network.passing.wait()
            if chunk == _END:
                sink.shutdown(socket.SHUT_WR)
                return
            while chunk:
                piece, chunk = chunk[: self._network.piece], chunk[self._network.piece :]
                await self._loop.sock_sendall(sink, piece)


def _unconnected() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    return made


def _rst(end: socket.socket) -> None:
    """Close a connection so that the other side gets a RST instead of a FIN. Do nothing if it is closed already."""
    if end.fileno() < 0:
        return
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


async def _ended(task: "asyncio.Task[None]") -> None:
    """Cancel a task, and wait until it has ended."""
    task.cancel()
    await asyncio.wait({task})
