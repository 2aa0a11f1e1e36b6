"""A publisher under judgement: threads that send `POST /defer` to the app in this process, at a rate, until SIGTERM.

Run as ``python -m tests.faults.publisher NAME THREADS RATE``, in the app's directory. What each request came to is in
the history. It ends when every request has ended, as a web server does.
"""

import importlib
import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from tests.faults.history import History
from tests.faults.pulse import feel

# Of a hundred events, those that do not just succeed: what each attempt does.
STEPS = {
    3: ["reject"],
    11: ["fail"],
    **{kind: ["fail", "ok"] for kind in (23, 37, 53, 71)},
    83: ["fail", "fail", "ok"],
    97: ["sleep:0.05"],
}
DELAYED = {61: 1}
"""Of a hundred, those that are due later, and after how many seconds."""


def order(name: str, number: int) -> dict[str, Any]:
    """Return what the request asks for."""
    kind = number % 100
    return {
        "key": f"{name}-{number}",
        "payload": {"do": STEPS.get(kind, ["ok"])},
        "delay": DELAYED.get(kind),
    }


class Publisher:
    """Sends requests to one app, as any number of threads."""

    def __init__(self, app: Flask, history: History, name: str, pause: float) -> None:
        self._app = app
        self._history = history
        self._name = name
        self._pause = pause
        self._numbers = itertools.count()
        self._stopping = threading.Event()

    def serve(self, threads: int) -> None:
        """Send requests by so many threads until SIGTERM, and return when every request has ended."""
        signal.signal(signal.SIGTERM, lambda *_: self._stopping.set())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # who was forked has it blocked until now
        feel(self._history)
        senders = [threading.Thread(target=self._run) for _ in range(threads)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    def _run(self) -> None:
        """Send a request each `pause` seconds, until asked to stop."""
        client, due = self._app.test_client(), time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pause, time.monotonic() - 1.0)  # an outage's are not sent all at once behind it
            self._send(client)

    def _send(self, client: FlaskClient) -> None:
        wanted = order(self._name, next(self._numbers))
        known = {"key": wanted["key"], "pid": os.getpid()}
        self._history.note("invoke", **known, delay=wanted["delay"])
        reply = client.post("/defer", json=wanted).json
        assert reply is not None
        self._history.note(reply["end"], **known, error=reply.get("error"))


def main(name: str, threads: int, rate: float) -> None:
    """Publish with so many threads at so many requests a second."""
    sys.path.insert(0, str(Path.cwd()))
    judged = importlib.import_module("judged")
    Publisher(judged.app, judged.history, name, threads / rate).serve(threads)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
