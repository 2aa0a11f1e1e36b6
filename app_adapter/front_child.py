"""The main program of a child behind web servers: the app under flup, on connections of a listening socket.

    python -P -m app_adapter.front_child --fd N --control M --stacks S APP

`--fd` is the *leash*, a connected socket. The pool sends the listening socket over it when this child may take
connections. The child sends back a byte for each change of what it does (`bridge.child_protocol`). When the leash ends,
the child ends. A client that breaks the protocol, or is too slow, loses its own connection only. The rest is as in
`app_server` and `child_program`.

Requests run one at a time. A web server may keep a connection for further requests, so a child holds its connections.
It accepts another connection in three cases: it holds none, all that it holds are quiet, or a client has waited for
`PATIENCE` seconds. Otherwise another child is free for that client. The child does not close a connection in use,
because a request may be on its way.
"""

import errno
import socket
import sys
import time
from contextlib import suppress

from app_adapter.app_server import flup_connection
from app_adapter.app_state import AppState
from app_adapter.child_program import Channels, main
from app_adapter.descendants import keep_from_descendants
from app_adapter.flup_request import FlupServer
from app_adapter.front_connection import FrontConnection
from app_adapter.idle import IdleHooks, idle_hooks
from app_adapter.plain_sockets import accepted, plain_socket, readable
from app_adapter.standard_streams import say
from bridge.child_protocol import (
    MAX_LISTEN,
    REQUEST_BEGUN,
    REQUEST_DROPPED,
    REQUEST_READING,
    REQUEST_SERVED,
    read_listen,
)
from bridge.fastcgi.params import ParamsDecoder
from bridge.networks import Networks

PATIENCE = 0.05
"""Seconds without a request after which a held connection is quiet. A new client waits at most as long for a child
whose held connections are busy."""

COURTESY = 0.001
"""Seconds that a child with held connections waits before it accepts, so that a child without any can accept first."""

SPREAD_AFTER = 1.0
"""Seconds without a request after which one of several held connections is closed. Its client then connects to a child
with fewer connections."""

DRAINED_AFTER = 0.02
"""Seconds without a request after which a draining child closes a connection."""

DRAIN_WITHIN = 5.0
"""Seconds after which a draining child closes connections in use too, each after its current request."""

LOOKED_EVERY = 1.0
"""Seconds between two looks at the time limits of clients."""

MOST_HELD = 100
"""The connections that a child holds at most. Further clients wait for another child, or until one of these ends."""

_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class FrontService:
    """Serves connections until the drain or the end of the leash."""

    def __init__(self, leash: socket.socket, server: FlupServer, idle: IdleHooks | None = None) -> None:
        self._leash = leash
        self._server = server
        self._idle = idle
        self._params = ParamsDecoder()
        self._held: list[FrontConnection] = []
        self._listener: socket.socket | None = None
        self._allowed = Networks()
        self._told = REQUEST_SERVED
        self._client_waits_since: float | None = None
        self._draining_since: float | None = None
        self._woken, self._waking = (plain_socket(end.detach()) for end in socket.socketpair())
        keep_from_descendants(self._woken)
        keep_from_descendants(self._waking)

    def run(self) -> bool:
        """Serve until the end of the leash, or after `drain()` until the last held connection is closed."""
        self._listener = self._listening_socket()
        while self._listener is not None and (self._held or self._draining_since is None):
            ready = self._ready(self._listener)
            for connection in tuple(self._held):
                if connection.socket in ready and not connection.serve():
                    self._held.remove(connection)
            self._tell_of_heads()
            if self._should_accept(ready, self._listener):
                self._accept(self._listener)
            self._close_due_connections()
            if not ready and self._idle is not None and self._idle_due_in() == 0:
                self._idle.call_next()
        if self._listener is not None:
            self._listener.close()
        return True

    def drain(self) -> None:
        """Finish the running request and end, or end at once if no connection is held."""
        self._draining_since = time.monotonic()
        self._waking.send(b"!")

    @property
    def closes_in_use(self) -> bool:
        """True if connections in use have to be closed after their current request."""
        return self._draining_since is not None and time.monotonic() - self._draining_since > DRAIN_WITHIN

    def begun(self) -> None:
        """Note that a request runs."""
        self._tell(REQUEST_BEGUN)

    def served(self) -> None:
        """Note that a request was served."""
        self._tell(REQUEST_SERVED)
        if self._idle is not None:
            self._idle.note_request()

    def waiting(self, *, waits: bool) -> None:
        """Note that the running request waits for its body, or no longer waits."""
        self._tell(REQUEST_READING if waits else REQUEST_BEGUN)

    def _tell(self, news: bytes) -> None:
        self._told = news
        with suppress(OSError):  # the pool reads more slowly than this child serves, or has gone
            self._leash.send(news, socket.MSG_DONTWAIT)

    def _tell_of_heads(self) -> None:
        """Tell the pool whether a part of a request has arrived, if that has changed."""
        reading = any(connection.reading for connection in self._held)
        if reading != (self._told == REQUEST_READING):
            self._tell(REQUEST_READING if reading else REQUEST_DROPPED)

    def _listening_socket(self) -> socket.socket | None:
        """Wait for the listening socket. Return None if this child has to end before the pool sends it."""
        if self._woken in readable(None, self._leash, self._woken):
            return None
        data, descriptors, _, _ = socket.recv_fds(self._leash, MAX_LISTEN, 1)
        order = read_listen(data)
        if order is None or not descriptors:
            return None
        self._allowed = Networks.parsed(order.allow)
        listener = plain_socket(descriptors[0])
        listener.setblocking(False)  # another child may have accepted the connection first
        keep_from_descendants(listener)
        return listener

    def _ready(self, listener: socket.socket) -> list[socket.socket]:
        """Wait until a socket can be read, or a connection may be due to be closed. Return the readable sockets."""
        held = [connection.socket for connection in self._held]
        if self._draining_since is not None:
            return readable(DRAINED_AFTER, *held)
        ends = (self._leash, self._woken)
        door = (listener,) if len(self._held) < MOST_HELD else ()
        busy_for = self._quiet_enough_after()
        ready = readable(busy_for, *held, *ends) if busy_for else []
        if ready:
            ready += readable(0, *door)
        else:
            ready = readable(self._next_look(), *held, *ends, *door)
        if self._leash in ready:
            self.drain()
        return ready

    def _next_look(self) -> float | None:
        """Return the seconds until the time limits of clients have to be looked at, or an idle hook is due; None if
        there is neither."""
        limits = LOOKED_EVERY if self._held else None
        return min((seconds for seconds in (limits, self._idle_due_in()) if seconds is not None), default=None)

    def _idle_due_in(self) -> float | None:
        """Return the seconds until the next idle hook is due. None is due while a request arrives, or in a drain."""
        if self._idle is None or self._draining_since is not None:
            return None
        return None if any(connection.reading for connection in self._held) else self._idle.due_in()

    def _quiet_enough_after(self) -> float:
        """Return the seconds until all held connections are quiet. Until then, another child may accept."""
        in_use = [connection for connection in self._held if not connection.leaving and not connection.reading]
        return max([0.0, *(PATIENCE - connection.idle for connection in in_use)])

    def _should_accept(self, ready: list[socket.socket], listener: socket.socket) -> bool:
        if listener not in ready or self._draining_since is not None:
            self._client_waits_since = None
            return False
        now = time.monotonic()
        self._client_waits_since = self._client_waits_since or now
        return not self._quiet_enough_after() or now - self._client_waits_since >= PATIENCE

    def _accept(self, listener: socket.socket) -> None:
        self._client_waits_since = None
        if self._held:
            time.sleep(COURTESY)
        try:
            sock = accepted(listener)
        except (BlockingIOError, ConnectionAbortedError):
            return  # another child has accepted the connection, or its client has gone
        except OSError as error:
            if error.errno in _NO_ROOM:
                time.sleep(PATIENCE)  # the listening socket stays readable meanwhile
            elif error.errno == errno.EINVAL:
                self.drain()  # the pool has shut the listening socket down, and will end this child
            else:
                raise
            return
        keep_from_descendants(sock)
        if sock.family != socket.AF_UNIX:
            if not self._admits(sock):
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = FrontConnection(sock, self._server, self, self._params)
        if connection.serve():
            self._held.append(connection)

    def _admits(self, sock: socket.socket) -> bool:
        """Return True if the client may use this pool. Close the connection if it may not."""
        try:
            address = str(sock.getpeername()[0])
        except OSError:  # the client has gone
            address = ""
        if self._allowed.have(address):
            return True
        sock.close()
        say(f"warning: a connection from {address or 'a client that has gone'} was closed: expected one from --allow\n")
        return False

    def _close_due_connections(self) -> None:
        held = sum(not connection.leaving for connection in self._held)
        for connection in tuple(self._held):
            if connection.too_late:
                connection.close()
            elif not connection.leaving and connection.used and not connection.reading:
                patience = DRAINED_AFTER if self._draining_since is not None else SPREAD_AFTER if held > 1 else None
                if patience is not None and connection.idle >= patience:
                    connection.hang_up()
            if connection.socket.fileno() < 0:
                self._held.remove(connection)
        self._tell_of_heads()


def front_service(channels: Channels, state: AppState) -> FrontService:
    """Return the service of an app at the leash of a pool. The pool knows no event, so nobody reads news or gives start
    tokens."""
    server = FlupServer(state.app, prints_errors=True, secret=state.settings.values.replay_secret)
    return FrontService(channels.serve, server, idle_hooks(state.app, state.idles))


if __name__ == "__main__":
    sys.exit(main(front_service, flup_connection))
