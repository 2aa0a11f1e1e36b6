"""A child's entry where web servers are in front: the app under flup, on connections from a listening socket.

    python -P -m app_adapter.listening --fd N --control M APP

`--fd` is the *leash*, a connected socket: the listening socket comes over it once this child may take connections, and
a byte goes back whenever a request begins, and when it was served. When it ends, so does the child. What one client
does wrong is that client's affair. All else is as in `app_server`.

Requests run one at a time. A web server may keep its connection for further requests, so a child holds those that it
has, and takes one more only where it has none, where they are quiet, or where somebody has waited for long: else
another child is free for it. One that is in use is not closed from here, for a request may be on its way.
"""

import errno
import select
import socket
import sys
import time
from contextlib import suppress
from io import BufferedReader
from typing import Any, cast

from app_adapter.app_server import Connection, Server, main
from app_adapter.child_process import keep_from_descendants

FIRST_REQUEST_WITHIN = 5.0
"""Seconds that a new connection has to begin its first request, though the child drains."""

PATIENCE = 0.05
"""Seconds without a request after which a held connection is quiet, and seconds that a client waits at most while
others keep a child busy."""

COURTESY = 0.001
"""Seconds that a child which holds connections leaves a new one to children that hold none."""

SPREAD_AFTER = 1.0
"""Seconds without a request after which one of several held connections is closed: its next one finds a freer child."""

DRAINED_AFTER = 0.02
"""Seconds without a request after which a draining child closes a connection."""

DRAIN_WITHIN = 5.0
"""Seconds after which a draining child closes a connection in use too, between two requests."""

BEGUN, SERVED = b"+", b"."


class Listening:
    """Serves connections until the drain or the leash's end."""

    def __init__(self, leash: socket.socket, server: Server) -> None:
        self._leash = leash
        self._server = server
        self._held: list[_HeldConnection] = []
        self._listener: socket.socket | None = None
        self._somebody_waits_since: float | None = None
        self._draining_since: float | None = None
        self._woken, self._waking = socket.socketpair()
        keep_from_descendants(self._woken)
        keep_from_descendants(self._waking)

    def run(self) -> bool:
        """Serve until there is nothing more to serve."""
        self._listener = self._given()
        while self._listener is not None and (self._held or self._draining_since is None):
            ready = self._ready(self._listener)
            for connection in tuple(self._held):
                if connection.socket in ready and not connection.serve():
                    self._held.remove(connection)
            if self._is_to_take(ready, self._listener):
                self._take(self._listener)
            self._close_those_that_are_due()
        return True

    def drain(self) -> None:
        """Finish the request that runs, and end; end at once when there is none."""
        self._draining_since = time.monotonic()
        self._waking.send(b"!")

    @property
    def closes_in_use(self) -> bool:
        """Whether a connection in use is to be closed after its request."""
        return self._draining_since is not None and time.monotonic() - self._draining_since > DRAIN_WITHIN

    def tell(self, what: bytes) -> None:
        """Tell the pool that a request has begun, or was served."""
        with suppress(OSError):  # the pool does not read as fast as we serve, or has gone
            self._leash.send(what, socket.MSG_DONTWAIT)

    def _given(self) -> socket.socket | None:
        """Wait for the listening socket. Return None where there is none for us any more."""
        if self._woken in readable(None, self._leash, self._woken):
            return None
        _, descriptors, _, _ = socket.recv_fds(self._leash, 1, 1)
        if not descriptors:
            return None
        listener = socket.socket(fileno=descriptors[0])
        listener.setblocking(False)  # another child may have taken the connection that woke us
        keep_from_descendants(listener)
        return listener

    def _ready(self, listener: socket.socket) -> list[socket.socket]:
        """Wait until there is something to do, or a connection may be due."""
        held = [connection.socket for connection in self._held]
        if self._draining_since is not None:
            return readable(DRAINED_AFTER, *held)
        ends = (self._leash, self._woken)
        ready = readable(self._quiet_enough_after(), *held, *ends)
        if not ready:
            return readable(SPREAD_AFTER if held else None, *held, *ends, listener)
        if self._leash in ready:
            self.drain()
        elif held:
            ready += readable(0, listener)
        return ready

    def _quiet_enough_after(self) -> float:
        """Return the seconds after which all that are held are quiet: until then somebody else may take what comes."""
        return max([0.0, *(PATIENCE - connection.idle for connection in self._held)])

    def _is_to_take(self, ready: list[socket.socket], listener: socket.socket) -> bool:
        if listener not in ready or self._draining_since is not None:
            self._somebody_waits_since = None
            return False
        now = time.monotonic()
        self._somebody_waits_since = self._somebody_waits_since or now
        return not self._quiet_enough_after() or now - self._somebody_waits_since >= PATIENCE

    def _take(self, listener: socket.socket) -> None:
        self._somebody_waits_since = None
        if self._held:
            time.sleep(COURTESY)
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another child was quicker, or its client has gone
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self.drain()  # the pool has shut it, and will tell us to end
            return
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _HeldConnection(sock, self._server, self)
        if connection.serve():
            self._held.append(connection)

    def _close_those_that_are_due(self) -> None:
        for connection in tuple(self._held):
            if not connection.used:
                patience = FIRST_REQUEST_WITHIN
            elif self._draining_since is not None:
                patience = DRAINED_AFTER
            elif len(self._held) > 1:
                patience = SPREAD_AFTER
            else:
                continue
            if connection.idle >= patience:
                connection.hang_up()
                self._held.remove(connection)


class _HeldConnection(Connection):
    """A connection that its client may keep for further requests."""

    def __init__(self, sock: socket.socket, server: Server, listening: Listening) -> None:
        super().__init__(sock, server)
        self.socket = sock
        self.used = False
        """Whether it has had a request."""
        self._listening = listening
        self._idle_since = time.monotonic()

    @property
    def idle(self) -> float:
        """Seconds since its last request, or since it was new."""
        return time.monotonic() - self._idle_since

    def serve(self) -> bool:
        """Serve what has come, or is just coming. Return False at the connection's end: then it is closed."""
        while self._requests or self._has_input():
            if not self.advance():
                return False
        return True

    def hang_up(self) -> None:
        """Take no more; serve what was sent before, and close it."""
        with suppress(OSError):  # its client has gone already
            self.socket.shutdown(socket.SHUT_RD)
        while self.advance():
            pass

    def _start_request(self, request: Any) -> None:
        self._listening.tell(BEGUN)
        super()._start_request(request)
        self._listening.tell(SERVED)
        self.used = True
        self._idle_since = time.monotonic()
        if self._listening.closes_in_use:
            self._keepGoing = False

    def _has_input(self) -> bool:
        """Whether something has come, the end of the stream included."""
        self.socket.setblocking(False)
        try:
            if cast(BufferedReader, self._input).peek(1):
                return True
        except OSError:
            return True  # a reset, as the next read finds
        finally:
            self.socket.setblocking(True)
        return bool(readable(0, self.socket))


def readable(seconds: float | None, *sockets: socket.socket) -> list[socket.socket]:
    """Wait until one can be read, at most so long, and return those that can, or that have ended."""
    waiting = select.poll()
    for sock in sockets:
        waiting.register(sock, select.POLLIN)
    ready = {descriptor for descriptor, _ in waiting.poll(None if seconds is None else seconds * 1000)}
    return [sock for sock in sockets if sock.fileno() in ready]


if __name__ == "__main__":
    sys.exit(main(Listening))
