"""A child of the pool compared with stock flup and with Flask's own dispatch: the CPU time of a Flask replay, and the
time of a large reply.

`python -m benchmarks.further.flup_child FD` is the process of stock flup, on an inherited socket. Both processes run
the app of this file, and the same client sends one request after the other over one kept connection.
"""

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response
from flup.server.fcgi_base import Connection as StockConnection
from flup.server.fcgi_single import WSGIServer

from app_adapter import DeferredEvents, Event
from benchmarks.report import Table
from benchmarks.scale import Scale
from bridge.child_protocol import Inherited, StartToken, write_tokens
from bridge.envelope import Envelope
from bridge.fastcgi import EncodedRequest, encode_request
from bridge.fastcgi.requests import encode_whole
from bridge.request import ReplayTarget, parameters
from tests.events import new_event

OURS, STOCK = "this project's", "stock"
REPLAYS = 500
"""Replays in a row before the other child's turn. The alternation spreads the machine's other load over both."""
ROUNDS = 20
IN_FLIGHT = 16
"""Replays that the worker has in flight in a child under load."""
LARGE = 64 * 1024**2
ROOT = Path(__file__).parents[2]

_END_REQUEST, _END_LENGTH = 3, 16
_HEADER = struct.Struct(">BBHHB")

app = Flask(__name__)
events = DeferredEvents(app)


@events.on("benchmark.sent")
def handle(event: Event) -> None:
    """The listener."""


@app.post("/plain/<name>")
def plain(name: str) -> Response:
    """Answer as the receiver's view does."""
    return Response("delivered\n", mimetype="text/plain")


@app.get("/large")
def large() -> bytes:
    """A reply of 64 MiB, in one piece."""
    return bytes(LARGE)


def dispatching(inner: WSGIApplication) -> WSGIApplication:
    """Return a middleware that answers `/dispatch` with the CPU seconds of one dispatch of `/plain`, without a
    server."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/dispatch":
            return inner(environ, start_response)
        given = {**environ, "PATH_INFO": "/plain/benchmark.sent"}
        began = time.process_time()
        for _ in range(REPLAYS):
            response = inner(given.copy(), lambda *_: bytes)
            list(response)
            response.close()  # type: ignore[attr-defined]  # Flask's response has it
        spent = (time.process_time() - began) / REPLAYS
        start_response("200 OK", [])
        return [f"CPU {spent:.9f}".encode()]

    return call


app.wsgi_app = dispatching(app.wsgi_app)  # type: ignore[assignment, method-assign]  # Flask's documentation wraps it this way


def measure(directory: Path, scale: Scale) -> Table:
    """Measure both kinds of child."""
    with _child(OURS, directory) as ours, _child(STOCK, directory) as stock:
        alone, of_stock, in_flight, dispatch = (f"{each * 1e6:.0f}" for each in _cpu(ours, stock))
        large = _seconds_for_large(ours)
    return Table(
        "A child compared with stock flup",
        f"CPU of one process for one Flask replay, user and system: medians of {ROUNDS} rounds of {REPLAYS} replays, "
        "in alternation, with this project's connection and with flup's own: the same app, client and kind of socket. "
        f"Stock flup takes one request after the other; so does a child, or it has {IN_FLIGHT} in flight, as under "
        "load. Flask's dispatch is that of the same app in the same process, without a server and without a receiver. "
        "The last row is the time that a reply of 64 MiB takes.",
        (
            ("what", OURS, STOCK, "ratio", "goal"),
            ("CPU a replay, one at a time, µs", alone, of_stock, _ratio(alone, of_stock), "≤ 0.70"),
            (f"CPU a replay, {IN_FLIGHT} in flight, µs", in_flight, of_stock, _ratio(in_flight, of_stock), "≤ 0.70"),
            ("Flask's dispatch, µs", dispatch, "", "", ""),
            ("reply of 64 MiB, s", f"{large:.2f}", "", "", "< 1"),
        ),
    )


def _ratio(ours: str, its: str) -> str:
    return f"{int(ours) / int(its):.2f}"


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    client: socket.socket
    tokens: socket.socket | None
    output: int

    @property
    def cpu(self) -> float:
        """Its CPU seconds. The kernel counts nanoseconds here, and hundredths of a second in `stat`."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9


@contextmanager
def _child(name: str, directory: Path) -> Iterator[_Child]:
    """Start a child with this kind of connection; it ends with the connection."""
    client, server = socket.socketpair()
    ready, control = os.pipe()
    output, marks = os.pipe()
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
    with subprocess.Popen(command, pass_fds=keep, env=environment, cwd=ROOT, stdout=marks) as child, worker, giving:
        server.close()
        news.close()
        tokens.close()
        os.close(control)
        os.close(stacks)
        os.close(marks)
        with client, os.fdopen(ready), os.fdopen(output):
            yield _Child(child.pid, client, giving if name == OURS else None, output)


def _cpu(ours: _Child, stock: _Child) -> Sequence[float]:
    """Return the median CPU seconds of a replay in the child, of one in stock flup, of one of `IN_FLIGHT` in the child,
    and of a dispatch."""
    event = new_event("benchmark.sent", b'{"id": 17}')
    params = parameters(Envelope(event, round_began=event.time), "default", ReplayTarget())
    replay = encode_request(params, event.data)
    asked = encode_request(
        {**params, "REQUEST_METHOD": "GET", "PATH_INFO": "/dispatch", "BRIDGE_REPLAY": ""}, event.data
    )
    found: list[Sequence[float]] = []
    for _ in range(ROUNDS + 1):
        found.append(
            (
                _of_replays(ours, replay, 1),
                _of_replays(stock, replay, 1),
                _of_replays(ours, replay, IN_FLIGHT),
                float(bytes(_replies(ours, asked, 1)).partition(b"CPU ")[2][:11]),
            )
        )
    return [median(each) for each in zip(*found[1:], strict=True)]  # the first round warms up


def _of_replays(child: _Child, replay: EncodedRequest, in_flight: int) -> float:
    """Return the CPU seconds of one replay."""
    before = child.cpu
    for _ in range(REPLAYS // in_flight):
        replies = _replies(child, replay, in_flight)
        if replies.count(b"Bridge-Outcome: delivered") != in_flight:
            raise RuntimeError(f"expected replies with 'Bridge-Outcome: delivered', got {replies[:500]!r}")
        if in_flight > 1:
            os.read(child.output, 64 * 1024)  # the output marks, which the worker reads
    return (child.cpu - before) / (REPLAYS // in_flight * in_flight)


def _seconds_for_large(child: _Child) -> float:
    path = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/large", "REQUEST_URI": "/large"}
    server = {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "QUERY_STRING": ""}
    request = encode_request({**path, **server, "CONTENT_LENGTH": "0"}, b"")
    _replies(child, request, 1)
    began = time.monotonic()
    reply = _replies(child, request, 1)
    if len(reply) < LARGE:
        raise RuntimeError(f"expected a reply of {LARGE:,} bytes, got {len(reply):,}: {reply[:500]!r}")
    return time.monotonic() - began


def _replies(child: _Child, request: EncodedRequest, count: int) -> bytearray:
    """Send a request so many times; return all bytes up to the record that ends the last reply."""
    if child.tokens is not None:
        child.tokens.sendall(write_tokens(StartToken(number, marked=number > 1) for number in range(1, count + 1)))
    client = child.client
    client.sendall(b"".join(encode_whole(number, request, keep=True) for number in range(1, count + 1)))
    end = _HEADER.pack(1, _END_REQUEST, count, 8, 0)
    reply = bytearray()
    while not reply.startswith(end, max(len(reply) - _END_LENGTH, 0)):
        piece = client.recv(1024**2)
        if not piece:
            raise RuntimeError(f"the child closed the connection after {bytes(reply[-500:])!r}")
        reply += piece
    return reply


if __name__ == "__main__":
    inherited = socket.socket(fileno=int(sys.argv[1]))
    StockConnection(inherited, None, WSGIServer(app, debug=False), None).run()
