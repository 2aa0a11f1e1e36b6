"""The child's end of its news to the worker: the progress of the event that runs, and requests for more time.

The worker may be slow and progress is not worth a wait, so a datagram that cannot be sent at once is dropped.
"""

import socket
import threading
import time
from collections.abc import Callable

from app_adapter.plain_sockets import readable
from bridge.child_protocol import MAX_NEWS, MAX_NOTE, Extend, Progress, read_extended, write_news

EVERY = 0.25
"""Seconds between two progresses that are sent. Those between are dropped, but for the first that is complete."""

ANSWER_WITHIN = 2.0
"""Seconds that the worker has to answer a request for more time."""


class News:
    """Sends news of one event after the other. Usable in all threads of the child; a copy that the app has forked sends
    nothing."""

    def __init__(self, sock: socket.socket, now: Callable[[], float] = time.monotonic) -> None:
        self._socket = sock
        self._now = now
        self._event = ""
        self._next = 0.0
        self._complete = False
        self._number = 0
        self._lock = threading.RLock()

    def progress(self, event_id: str, done: float, total: float | None, note: str) -> None:
        """Send the progress of the event, unless one was sent just now."""
        now = self._now()
        complete = total is not None and done >= total
        if event_id != self._event:
            self._event, self._complete = event_id, False
        elif now < self._next and (self._complete or not complete):
            return
        self._next, self._complete = now + EVERY, complete
        self._send(Progress(event_id, done, total, note[:MAX_NOTE]))

    def extend(self, event_id: str, seconds: float) -> bool:
        """Ask the worker for `seconds` from now; return whether the event has them. False without an answer."""
        with self._lock:
            self._number += 1
            if not self._send(Extend(event_id, self._number, seconds)):
                return False
            end = time.monotonic() + ANSWER_WITHIN
            try:
                while (left := end - time.monotonic()) > 0 and readable(left, self._socket):
                    datagram = self._socket.recv(MAX_NEWS)
                    answer = read_extended(datagram)
                    if answer is not None and answer.number == self._number:
                        return answer.granted
                    if not datagram:
                        return False
            except (OSError, ValueError):  # the worker has gone, or this is a forked copy, whose socket is closed
                pass
            return False

    def _send(self, news: Progress | Extend) -> bool:
        try:
            self._socket.send(write_news(news), socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True
