"""Events over HTTP, alone and in batches, beside a bare Flask handler that answers 202. All run by `bridge-pool` behind
nginx.
"""

import asyncio
import json
import socket
import statistics
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psutil

from app_adapter.ingress.access import hash_of
from benchmarks.report import Table
from benchmarks.scale import Scale
from bridge.config.foreign_pool import Address
from tests.journey.site import Program, Site
from tests.journey.web_servers import nginx
from tests.rabbitmq_node import RabbitNode

TOKEN = "a-token-of-the-benchmark"
CHILDREN, CONNECTIONS = 2, 8
GOAL = 2000
"""Events a second on the reference, two idle cores."""

INGRESS = "deferred_event_bridge.ingress:create_app()"
BARE = """
from flask import Flask, request
from deferred_event_bridge import DeferredEvents

app = Flask(__name__)
DeferredEvents(app)  # bridge-pool asks for it; the handler defers nothing

@app.post("/events/<name>")
def take(name):
    request.get_data()
    return {"id": "019e0a4e-5b5c-7c3f-9c1d-0f4a2b6e8d11"}, 202
"""
BODY = b'{"id": 17, "name": "' + b"x" * 98 + b'"}'
BATCH = 20
"""Events of a request with a batch, each with the data of the other requests."""
END = b"\r\n\r\n"


def _request(path: str, content_type: str, body: bytes) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {TOKEN}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "",
        body.decode(),
    )
    return "\r\n".join(lines).encode()


def _batch() -> bytes:
    return json.dumps(
        [
            {
                "specversion": "1.0",
                "id": f"order-{at}",
                "source": "/shop",
                "type": "order.paid",
                "data": json.loads(BODY),
            }
            for at in range(BATCH)
        ]
    ).encode()


ALONE = _request("/events/order.paid", "application/json", BODY)
BATCHED = _request("/events", "application/cloudevents-batch+json", _batch())


class Kind(NamedTuple):
    """A row of the table: the app that gets the requests, and how many events each request has."""

    app: str
    request: bytes
    events: int


KINDS = {
    "a bare handler": Kind("bare:app", ALONE, 1),
    "the ingress, on SQLite": Kind(INGRESS, ALONE, 1),
    "the ingress, on RabbitMQ": Kind(INGRESS, ALONE, 1),
    f"batches of {BATCH}, on SQLite": Kind(INGRESS, BATCHED, BATCH),
    f"batches of {BATCH}, on RabbitMQ": Kind(INGRESS, BATCHED, BATCH),
}


def measure(directory: Path, scale: Scale) -> Table:
    """Send to each by turns."""
    rates: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    with RabbitNode() as node:
        for number in range(scale.rounds):
            for at, (name, kind) in enumerate(KINDS.items()):
                where = directory / f"{number}-{at}"
                where.mkdir(parents=True)
                broker = node.new_vhost() if "RabbitMQ" in name else f"sqlite:///{where}/bridge.db"
                rate, cost = asyncio.run(_measured(Site(where, broker, "bridge"), kind, scale.events))
                rates[name].append(rate)
                costs[name].append(cost)
    bare = statistics.median(rates["a bare handler"])
    return Table(
        "Events over HTTP",
        f"{scale.events:,} events of {len(BODY)} bytes on {CONNECTIONS} connections that are kept, through nginx and "
        f"bridge-pool with {CHILDREN} children, medians of {scale.rounds} round(s) by turns. The ingress answers when "
        "the broker has confirmed the event, or all events of a batch; the bare handler reads the body and answers "
        "202. *÷ bare* compares requests. CPU is that of the children.",
        (
            ("who", "requests/s", "÷ bare", "events/s", "CPU a request, µs", "CPU an event, µs", "goal, events/s"),
            *(
                _row(name, kind, statistics.median(rates[name]), statistics.median(costs[name]), bare)
                for name, kind in KINDS.items()
            ),
        ),
    )


def _row(name: str, kind: Kind, rate: float, cost: float, bare: float) -> tuple[str, ...]:
    """Return the row of a kind, with its requests a second and its seconds of CPU a request."""
    defers = kind.app == INGRESS
    return (
        name,
        f"{rate:,.0f}",
        f"{rate / bare:.2f}",
        f"{rate * kind.events:,.0f}" if defers else "",
        f"{cost * 1e6:,.0f}",
        f"{cost / kind.events * 1e6:,.0f}" if defers else "",
        f"≥ {GOAL:,}" if defers else "",
    )


async def _measured(site: Site, kind: Kind, events: int) -> tuple[float, float]:
    """Return requests a second, and seconds of CPU of the children for each, with so many events in all."""
    count = max(events // kind.events // CONNECTIONS, 1) * CONNECTIONS
    site.configure(f'[ingress.tokens.all]\nhash = "{hash_of(TOKEN)}"\nevents = ["#"]\n')
    (site.directory / "bare.py").write_text(BARE)
    address = Address(path=f"{site.directory}/run/ingress.sock")
    try:
        options = ("--bind", str(address), "--children", str(CHILDREN), "--spare", "0")
        pool = site.run("bridge-pool", kind.app, *options)
        await pool.says("warm after")
        server = nginx(site.directory / "nginx", address, site.environment)
        await asyncio.to_thread(_send, server.port, kind.request, CONNECTIONS * 20)
        began, spent = time.monotonic(), _cpu(pool)
        await asyncio.to_thread(_send, server.port, kind.request, count)
        seconds, used = time.monotonic() - began, _cpu(pool) - spent
        server.stop()
        return count / seconds, used / count
    finally:
        site.end()


def _cpu(pool: Program) -> float:
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pool.children)


def _send(port: int, request: bytes, count: int) -> None:
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for each in [threads.submit(_send_on_one, port, request, count // CONNECTIONS) for _ in range(CONNECTIONS)]:
            each.result()


def _send_on_one(port: int, request: bytes, count: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 30.0) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            connection.sendall(request)
            _read_answer(connection)


def _read_answer(connection: socket.socket) -> None:
    """Read one answer. The client costs as little as it can: it runs on the same cores."""
    received = connection.recv(65536)
    while END not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(END)
    if not head.startswith(b"HTTP/1.1 202"):
        raise RuntimeError(received.decode(errors="replace"))
    while not _is_whole(head.lower(), body):
        body += connection.recv(65536)


def _is_whole(head: bytes, body: bytes) -> bool:
    if b"chunked" in head:
        return body.endswith(b"0" + END)
    return len(body) >= int(head.partition(b"content-length:")[2].split()[0])
