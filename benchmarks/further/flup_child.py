"""A child of the pool compared with stock flup: the CPU time of a Flask replay, and the time of a large reply.

`python -m benchmarks.further.flup_child FD` is the process of stock flup, on an inherited socket. Both processes run
the app of this file, and the same client sends one request after the other over one kept connection.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from flask import Flask
from flup.server.fcgi_base import Connection as StockConnection
from flup.server.fcgi_single import WSGIServer

from app_adapter import DeferredEvents, Event
from benchmarks.report import Table
from benchmarks.scale import Scale
from bridge.child_protocol import Inherited, StartToken, write_tokens
from bridge.envelope import Envelope
from bridge.fastcgi import Connection
from bridge.request import ReplayTarget, parameters
from tests.events import new_event

OURS, STOCK = "this project's", "stock"
REPLAYS = 500
"""Replays in a row before the other child's turn. The alternation spreads the machine's other load over both."""
ROUNDS = 20
LARGE = 64 * 1024**2
ROOT = Path(__file__).parents[2]

_END_REQUEST = b"\x01\x03"
_END_LENGTH = 16

app = Flask(__name__)
events = DeferredEvents(app)


@events.on("benchmark.sent")
def handle(event: Event) -> None:
    """The listener."""


@app.get("/large")
def large() -> bytes:
    """A reply of 64 MiB, in one piece."""
    return bytes(LARGE)


def measure(directory: Path, scale: Scale) -> Table:
    """Measure both kinds of child."""
    with _child(OURS, directory) as ours, _child(STOCK, directory) as stock:
        cpu = _cpu_per_replay([ours, stock])
        large = _seconds_for_large(ours)
    return Table(
        "A child compared with stock flup",
        f"CPU of one process for one Flask replay, user and system, over {ROUNDS * REPLAYS:,} replays, with this "
        "project's connection and with flup's own: the same app, client and kind of socket, in alternation; and the "
        "time that a reply of 64 MiB takes.",
        (
            ("what", OURS, STOCK, "ratio", "goal"),
            ("CPU a replay, µs", *(f"{each * 1e6:.0f}" for each in cpu), f"{cpu[0] / cpu[1]:.2f}", "≤ 0.80"),
            ("reply of 64 MiB, s", f"{large:.2f}", "", "", "< 1"),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Child:
    process: psutil.Process
    client: socket.socket
    tokens: socket.socket | None

    @property
    def cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def _child(name: str, directory: Path) -> Iterator[_Child]:
    """Start a child with this kind of connection; it ends with the connection."""
    client, server = socket.socketpair()
    ready, control = os.pipe()
    stacks = os.open(os.devnull, os.O_WRONLY)
    worker, news = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    giving, tokens = socket.socketpair()
    inherited = Inherited(server.fileno(), control, stacks, 1, news.fileno(), tokens.fileno())
    arguments = {
        OURS: ("-P", "-m", "app_adapter.app_server", *inherited.options(), f"{__name__}:app"),
        STOCK: ("-m", __name__, str(inherited.serve)),
    }
    environment = {**os.environ, "BRIDGE_BROKER_URL": f"sqlite:///{directory}/flup-child.db"}
    command = [sys.executable, *arguments[name]]
    keep = [each for each in inherited if each != inherited.output]
    with subprocess.Popen(command, pass_fds=keep, env=environment, cwd=ROOT) as child, worker, giving:
        server.close()
        news.close()
        tokens.close()
        os.close(control)
        os.close(stacks)
        with client, os.fdopen(ready):
            yield _Child(psutil.Process(child.pid), client, giving if name == OURS else None)


def _cpu_per_replay(children: Sequence[_Child]) -> Sequence[float]:
    event = new_event("benchmark.sent", b'{"id": 17}')
    request = _request(parameters(Envelope(event, round_began=event.time), "default", ReplayTarget()), event.data)
    for child in children:
        for _ in range(REPLAYS):
            reply = _asked(child, request)
            if b"Bridge-Outcome: delivered" not in reply:
                raise RuntimeError(f"expected a reply with 'Bridge-Outcome: delivered', got {reply[:500]!r}")
    before = [child.cpu for child in children]
    for _ in range(ROUNDS):
        for child in children:
            for _ in range(REPLAYS):
                _asked(child, request)
    return [(child.cpu - spent) / (ROUNDS * REPLAYS) for child, spent in zip(children, before, strict=True)]


def _seconds_for_large(child: _Child) -> float:
    path = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/large", "REQUEST_URI": "/large"}
    server = {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "QUERY_STRING": ""}
    request = _request({**path, **server, "CONTENT_LENGTH": "0"}, b"")
    _asked(child, request)
    began = time.monotonic()
    reply = _asked(child, request)
    if len(reply) < LARGE:
        raise RuntimeError(f"expected a reply of {LARGE:,} bytes, got {len(reply):,}: {reply[:500]!r}")
    return time.monotonic() - began


def _request(params: dict[str, str], body: bytes) -> bytes:
    connection = Connection()
    head = connection.begin_request(params, keep_connection=True)
    return head + connection.body(body) + connection.end_of_body()


def _asked(child: _Child, request: bytes) -> bytearray:
    """Send a request; return all bytes up to the record that ends the reply."""
    if child.tokens is not None:
        child.tokens.sendall(write_tokens([StartToken(request=1, marked=False)]))
    client = child.client
    client.sendall(request)
    reply = bytearray()
    while not reply.startswith(_END_REQUEST, max(len(reply) - _END_LENGTH, 0)):
        piece = client.recv(1024**2)
        if not piece:
            raise RuntimeError(f"the child closed the connection after {bytes(reply[-500:])!r}")
        reply += piece
    return reply


if __name__ == "__main__":
    inherited = socket.socket(fileno=int(sys.argv[1]))
    StockConnection(inherited, None, WSGIServer(app, debug=False), None).run()
