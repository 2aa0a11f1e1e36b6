"""A publisher of the ordeals: threads that send `POST /defer` to the app in this process, at a rate, until SIGTERM.

Run as ``python -m tests.faults.publisher NAME THREADS RATE``, in the app's directory. The result of each request is
noted in the history. The publisher ends when every request has ended, as a web server does.
"""

import importlib
import os
import sys
import threading
from pathlib import Path
from typing import Any

from flask import Flask

from tests.faults.history import VARIABLE, Counting, History
from tests.faults.sender import Sender

# By the event's number modulo 100: the step of each attempt. All other events succeed at once.
STEPS = {
    3: ["reject"],
    11: ["fail"],
    **{kind: ["fail", "ok"] for kind in (23, 37, 53, 71)},
    83: ["fail", "fail", "ok"],
    97: ["sleep:0.05"],
}
DELAYED = {61: 1}
"""By the event's number modulo 100: its delay in seconds."""


AHEAD = 5.0
"""Seconds of its own requests after which a publisher is ahead of the workers. On a slow machine the backlog would grow
without end, and so would the time for which an ordeal waits for its own events."""


class Backlog:
    """The number of events of all publishers that are confirmed and have had no effect, by the history."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._counting = Counting(Path(os.environ[VARIABLE]))
        self._counted = threading.Lock()
        self._exceeded = False

    def is_exceeded(self) -> bool:
        """Return True if there are more than `most`. While another thread counts, return its last result."""
        if self._counted.acquire(blocking=False):
            try:
                self._exceeded = self._counting.count("ok") - self._counting.count("effect") > self._most
            finally:
                self._counted.release()
        return self._exceeded


def request(name: str, number: int) -> dict[str, Any]:
    """Return the JSON of the `number`-th request."""
    kind = number % 100
    return {
        "key": f"{name}-{number}",
        "payload": {"do": STEPS.get(kind, ["ok"])},
        "delay": DELAYED.get(kind),
    }


class Publisher:
    """Sends requests to one app from any number of threads."""

    def __init__(self, app: Flask, history: History, name: str, pause: float) -> None:
        self._app = app
        self._history = history
        self._name = name
        self._pause = pause

    def serve(self, threads: int) -> None:
        """Send requests from this many threads until SIGTERM; return when every request has ended."""
        most = AHEAD * threads / self._pause
        Sender(self._send, self._history, self._pause, Backlog(most).is_exceeded).serve(threads)

    def _send(self, number: int) -> None:
        body = request(self._name, number)
        known = {"key": body["key"], "pid": os.getpid()}
        self._history.note("invoke", **known, delay=body["delay"])
        reply = self._app.test_client().post("/defer", json=body).json
        assert reply is not None
        self._history.note(reply["end"], **known, error=reply.get("error"))


def main(name: str, threads: int, rate: float) -> None:
    """Publish with this many threads, at `rate` requests a second in total."""
    sys.path.insert(0, str(Path.cwd()))
    judged = importlib.import_module("judged")
    Publisher(judged.app, judged.history, name, threads / rate).serve(threads)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
