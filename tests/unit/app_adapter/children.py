"""A child of the pool, started as the worker starts it, and its requests over the inherited socket."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from bridge.child_protocol import CannotBoot, Inherited, StartToken, read_report, write_tokens
from bridge.envelope import Envelope
from bridge.event import Event
from bridge.fastcgi import Connection, ErrorOutput, ReplyBody, ReplyEnd, ReplyHead
from bridge.request import ReplayTarget, parameters
from tests.limits import PATIENCE

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

SHOP = """
    import os, subprocess, sys, time
    from flask import Flask, Response, request
    from app_adapter import DeferredEvents

    app = Flask(__name__)
    app.config["BRIDGE_RELEASE"] = "v7"
    events = DeferredEvents(app)

    @events.on("order.#")
    def listener(event):
        with open("received", "wb") as file:
            file.write(event.data)

    @events.on("slow.#")
    def slow(event):
        open("began", "w").close()
        while not os.path.exists("go on"):
            time.sleep(0.01)

    @events.on("exit")
    def leave(event):
        os._exit(9)

    @events.on("start.process")
    def start(event):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)

    @events.on("fork")
    def fork(event):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)

    @events.on("noisy")
    def noisy(event):
        request.environ["wsgi.errors"].write("\\udcff" + "x" * 10_000_000)

    @app.get("/big")
    def big():
        return Response([b"x" * (64 * 1024 * 1024)])
"""
"""An app whose listeners and pages do everything that a child must survive."""


@dataclass
class Reply:
    """A complete reply."""

    status: int = 0
    headers: dict[str, str] | None = None
    body: bytes = b""
    errors: bytes = b""

    @property
    def outcome(self) -> str | None:
        """Return the receiver's verdict as the worker reads it."""
        return (self.headers or {}).get("Bridge-Outcome")


class Child:
    """A process that serves an app. `report` is its report on the control descriptor."""

    def __init__(self, directory: Path, source: str | None, target: str = "shop:app") -> None:
        if source is not None:
            (directory / "shop.py").write_text(textwrap.dedent(source))
        self.errors = directory / "stderr"
        self.socket, theirs = socket.socketpair()
        self.news, news = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.news.settimeout(PATIENCE)
        self.tokens, tokens = socket.socketpair()
        self.socket.settimeout(PATIENCE)
        self._connection = Connection()
        self._requests = 0
        reading, writing = os.pipe()
        command = [sys.executable, "-P", "-m", "app_adapter.app_server"]
        with self.errors.open("wb") as errors, (directory / "stacks").open("wb") as stacks, theirs, news, tokens:
            inherited = Inherited(theirs.fileno(), writing, stacks.fileno(), 1, news.fileno(), tokens.fileno())
            command += [*inherited.options(), target]
            keep = (*inherited[:3], inherited.news, inherited.tokens)
            self.process = subprocess.Popen(command, cwd=directory, pass_fds=keep, stderr=errors)
        os.close(writing)
        with os.fdopen(reading, "rb") as control:
            self.report = read_report(control.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.news.close()
        self.tokens.close()
        self.process.kill()
        self.process.wait()

    @property
    def failed(self) -> str:
        """Return the reason why the child did not boot. The child has exited with 1."""
        assert isinstance(self.report, CannotBoot), self.report
        assert self.process.wait(PATIENCE) == 1
        return self.report.message

    def send(self, name: str = "order.paid", data: bytes = b"{}", **changes: str) -> None:
        """Send a replay."""
        event = Event("the-id", name, "till", NOW, "application/octet-stream", data)
        params = parameters(Envelope(event, NOW), "orders", ReplayTarget()) | changes
        self._requests += 1
        self.tokens.sendall(write_tokens([StartToken(self._requests, marked=False)]))
        self.socket.sendall(self._connection.begin_request(params, keep_connection=True))
        self.socket.sendall(self._connection.body(data) + self._connection.end_of_body())

    def receive(self) -> Reply:
        """Wait for the reply."""
        reply, body, errors = Reply(), bytearray(), bytearray()
        while True:
            for event in self._connection.receive(self.socket.recv(1 << 18)):
                match event:
                    case ReplyHead(status=status, headers=headers):
                        reply.status, reply.headers = status, dict(headers)
                    case ReplyBody(data=data):
                        body += data
                    case ErrorOutput(data=data):
                        errors += data
                    case ReplyEnd():
                        reply.body, reply.errors = bytes(body), bytes(errors)
                        return reply
                    case _:
                        raise AssertionError(event)

    def ask(self, name: str = "order.paid", data: bytes = b"{}", **changes: str) -> Reply:
        """Send a replay and wait for its reply."""
        self.send(name, data, **changes)
        return self.receive()

    def get(self, path: str) -> Reply:
        """Send a request that is no replay."""
        return self.ask(data=b"", BRIDGE_REPLAY="", REQUEST_METHOD="GET", PATH_INFO=path, REQUEST_URI=path)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child."""
        self.process.send_signal(number)
