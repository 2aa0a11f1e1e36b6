"""A publisher that forks at each SIGUSR1 while its threads publish, as a pre-fork server may.

Run as ``python -m tests.faults.forking_publisher NAME THREADS RATE``. Parent and child both publish on. There is one
child at a time: it finishes its requests and ends before the next fork, and when the parent ends.
"""

import importlib
import os
import signal
import sys
from pathlib import Path

from flask import Flask

from tests.faults.history import History
from tests.faults.publisher import Publisher


class Forking:
    """A process with threads that send requests, and its current child."""

    def __init__(self, app: Flask, history: History, threads: int, pause: float) -> None:
        self._app = app
        self._history = history
        self._threads = threads
        self._pause = pause
        self._child = 0
        self._forks = 0

    def serve(self, name: str) -> None:
        """Send requests until SIGTERM."""
        Publisher(self._app, self._history, name, self._pause).serve(self._threads)

    def fork(self, name: str) -> None:
        """Fork. The child sends requests of its own until SIGTERM, and exits. A SIGUSR1 during the fork is ignored."""
        again = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        self.end_child()
        self._forks += 1
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until the child has a handler of its own
        self._child = os.fork()
        if not self._child:
            self.serve(f"{name}f{self._forks}")
            sys.exit()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.signal(signal.SIGUSR1, again)

    def end_child(self) -> None:
        """Let the current child, if any, finish its requests and end."""
        if self._child:
            os.kill(self._child, signal.SIGTERM)
            os.waitpid(self._child, 0)
            self._child = 0


def main(name: str, threads: int, rate: float) -> None:
    """Publish with this many threads, at `rate` requests a second in the parent and in each child."""
    sys.path.insert(0, str(Path.cwd()))
    judged = importlib.import_module("judged")
    judged.app.test_client().get("/")  # lets Flask do its late imports before the first fork
    forking = Forking(judged.app, judged.history, threads, threads / rate)
    signal.signal(signal.SIGUSR1, lambda *_: forking.fork(name))
    forking.serve(name)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    forking.end_child()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
