"""Sends requests from some threads, at a rate, until SIGTERM."""

import itertools
import signal
import threading
import time
from collections.abc import Callable

from tests.faults.history import History
from tests.faults.pulse import feel

SLOWER = 10
"""How many times longer the pauses are while the requests get ahead of the work."""


def _never() -> bool:
    return False


class Sender:
    """Sends requests: calls `send` with 0, 1, 2, … from any number of threads, each of which pauses `pause` seconds
    between two of its requests, or `SLOWER` times as long while `ahead` returns True. The history gets the times for
    which the process had no CPU."""

    def __init__(
        self, send: Callable[[int], None], history: History, pause: float, ahead: Callable[[], bool] = _never
    ) -> None:
        self._send = send
        self._history = history
        self._pause = pause
        self._ahead = ahead
        self._numbers = itertools.count()
        self._stopping = threading.Event()

    def serve(self, threads: int) -> None:
        """Send requests from this many threads until SIGTERM; return when every request has ended."""
        signal.signal(signal.SIGTERM, lambda *_: self._stopping.set())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # blocked in a forked child until now
        feel(self._history)
        senders = [threading.Thread(target=self._run) for _ in range(threads)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            pause = self._pause * (SLOWER if self._ahead() else 1)
            due = max(due + pause, time.monotonic() - 1.0)  # no burst after an outage
            self._send(next(self._numbers))
