"""A connection of a child behind web servers. Its client may be slow, gone or hostile, so no client can hold the child:
the child reads a request's head only as it arrives, and waits for a body and for a reader within limits.
"""

import socket
import time
from contextlib import suppress
from typing import Any, Protocol

from app_adapter.flup_connection import FAREWELL, READ_SIZE, FlupConnection
from app_adapter.flup_request import FlupServer
from app_adapter.plain_sockets import arrived, readable
from bridge.fastcgi.params import ParamsDecoder

HEAD_WITHIN = 5.0
"""Seconds that a client has for its first request, and for the parameters of each further request."""

BODY_WITHIN = 60.0
"""Seconds that a child waits for a body whose client sends nothing, as long as nginx (`client_body_timeout`)."""

BODY_RATE = 500
"""Bytes a second at which a body must come, after `BODY_WITHIN` seconds of waiting: a client that sends a byte now and
then is no better than one that sends none. Apache has the same rate (`mod_reqtimeout`)."""

SEND_WITHIN = 60.0
"""Seconds that a client has to read 64 KiB of a reply. nginx has as many (`send_timeout`)."""

NOTED_AFTER = 0.05
"""Seconds of waiting for a body after which the status shows it."""


class Observer(Protocol):
    """Is told what the connections do."""

    def begun(self) -> None:
        """Note that a request runs."""

    def served(self) -> None:
        """Note that a request was served."""

    def waiting(self, *, waits: bool) -> None:
        """Note that the running request waits for its body, or no longer waits."""

    @property
    def closes_in_use(self) -> bool:
        """True if connections in use have to be closed after their current request."""


class FrontConnection(FlupConnection):
    """A connection that its client may keep for further requests. The decoder `params` is that of all connections of
    the child: most have one request."""

    def __init__(self, sock: socket.socket, server: FlupServer, observer: Observer, params: ParamsDecoder) -> None:
        super().__init__(sock, server)
        self._params = params
        sock.settimeout(SEND_WITHIN)
        self.socket = sock
        self.used = False
        """True if a request has run on this connection."""
        self.leaving = False
        """True if the connection has ended, and waits for its client to close it too."""
        self._observer = observer
        self._since = time.monotonic()
        self._patience = BODY_WITHIN

    @property
    def idle(self) -> float:
        """Seconds since the end of the last request, since the first byte of the next one, or since the beginning."""
        return time.monotonic() - self._since

    @property
    def reading(self) -> bool:
        """True if a part of a request has arrived."""
        return not self.leaving and bool(self._requests or self._records.pending)

    @property
    def too_late(self) -> bool:
        """True if the client has used up the time for a head, or for closing the connection."""
        if self.leaving:
            return self.idle >= FAREWELL
        return (self.reading or not self.used) and self.idle >= HEAD_WITHIN

    def serve(self) -> bool:
        """Process what has arrived, without waiting for more, and serve the requests that it completes. Return False at
        the connection's end; the connection is closed then."""
        data = self._arrived()
        if data is None:
            return True
        if self.leaving:
            if not data:
                self.close()
            return bool(data)
        began = self.reading
        self.take(data)
        if self.reading and not began:
            self._since = time.monotonic()
        return self.socket.fileno() >= 0

    def hang_up(self) -> None:
        """Serve the requests that have arrived, and close the connection."""
        with suppress(OSError):  # the client has gone already
            self.socket.shutdown(socket.SHUT_RD)
        while not self.leaving and self.serve():
            pass
        self.close()

    def close(self) -> None:
        """Close the connection at once."""
        self.socket.close()

    def _arrived(self) -> bytes | None:
        """Return the bytes that have arrived, b"" at the end of the stream, and None if there are none yet."""
        try:
            return arrived(self.socket, READ_SIZE)
        except OSError:
            return b""

    def _received(self) -> bytes:
        """Wait for a part of the running request's body. Return b"" if none comes."""
        began = time.monotonic()
        if not readable(NOTED_AFTER, self.socket):
            self._observer.waiting(waits=True)
            came = readable(self._patience - NOTED_AFTER, self.socket)
            self._observer.waiting(waits=False)
            if not came:
                return b""
        data = super()._received()
        waited = time.monotonic() - began
        self._patience = min(self._patience - waited + len(data) / BODY_RATE, BODY_WITHIN)
        return data

    def _start_request(self, request: Any) -> None:
        self._patience = BODY_WITHIN
        self._observer.begun()
        super()._start_request(request)
        self._observer.served()
        self.used = True
        self._since = time.monotonic()
        if self._observer.closes_in_use:
            self._keepGoing = False

    def _cleanupSocket(self) -> None:
        """End the connection. The client may still read, so it is closed only when the client has closed it, or is too
        late; a close with unread input would reset it."""
        self._since = time.monotonic()
        self.leaving = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # the client has gone
            self.close()
