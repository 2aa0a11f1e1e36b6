"""A publisher of the ordeals: threads that send `POST /defer` to the app in this process, at a rate, until SIGTERM.

Run as ``python -m tests.faults.publisher NAME THREADS RATE``, in the app's directory. The result of each request is
noted in the history. The publisher ends when every request has ended, as a web server does.
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
        """Send a request every `pause` seconds until SIGTERM."""
        client, due = self._app.test_client(), time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pause, time.monotonic() - 1.0)  # no burst after an outage
            self._send(client)

    def _send(self, client: FlaskClient) -> None:
        body = request(self._name, next(self._numbers))
        known = {"key": body["key"], "pid": os.getpid()}
        self._history.note("invoke", **known, delay=body["delay"])
        reply = client.post("/defer", json=body).json
        assert reply is not None
        self._history.note(reply["end"], **known, error=reply.get("error"))


def main(name: str, threads: int, rate: float) -> None:
    """Publish with this many threads, at `rate` requests a second in total."""
    sys.path.insert(0, str(Path.cwd()))
    judged = importlib.import_module("judged")
    Publisher(judged.app, judged.history, name, threads / rate).serve(threads)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
