"""The pool's end of a child's news: datagrams about the event that runs in the child.

A child can write anything, at any rate. So a datagram that is no news is dropped, and no more than `AT_ONCE` datagrams
are read within `PAUSE`: the rest waits in the child's socket, and what does not fit there the child cannot send.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from bridge.child_protocol import MAX_NEWS, Extend, Extended, Progress, read_news, write_extended
from bridge.logger import log

AT_ONCE = 8
PAUSE = 0.05
"""Seconds."""

OnNews = Callable[[Progress | Extend], None]


def _ignore(news: Progress | Extend) -> None:
    """Ignore news: no event runs in the children of this pool that it knows of."""


class News:
    """Reads the news of the child `pid` from a socket, until `close()`."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.on_news: OnNews = _ignore
        """Called for each news from now on."""
        self._socket = sock
        self._pid = pid
        self._resuming: asyncio.TimerHandle | None = None
        self._complained = False
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock, self._read)

    def answer(self, answer: Extended) -> None:
        """Send an answer. It is dropped if the child has ended or does not read."""
        with suppress(OSError):
            self._socket.send(write_extended(answer))

    def close(self) -> None:
        """Read no more. A second call changes nothing."""
        if self._socket.fileno() < 0:
            return
        if self._resuming is not None:
            self._resuming.cancel()
        with suppress(RuntimeError):  # the loop has ended before us
            asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(AT_ONCE):
            try:
                datagram = self._socket.recv(MAX_NEWS + 1)
            except BlockingIOError:
                return
            except OSError:
                datagram = b""
            if not datagram:
                self.close()
                return
            self._take(datagram)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._resuming = loop.call_later(PAUSE, loop.add_reader, self._socket, self._read)

    def _take(self, datagram: bytes) -> None:
        news = read_news(datagram)
        if news is not None:
            self.on_news(news)
        elif not self._complained:
            self._complained = True
            log.warning("a child wrote what is no news of an event; it is ignored", extra={"pid": self._pid})
