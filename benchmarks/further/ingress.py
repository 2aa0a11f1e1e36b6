"""Events over HTTP beside a bare Flask handler that answers 202, both by `bridge-pool` behind nginx."""

import asyncio
import socket
import statistics
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
REQUEST = "\r\n".join(
    (
        "POST /events/order.paid HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {TOKEN}",
        "Content-Type: application/json",
        f"Content-Length: {len(BODY)}",
        "",
        BODY.decode(),
    )
).encode()
END = b"\r\n\r\n"

KINDS = {"a bare handler": "bare:app", "the ingress, on SQLite": INGRESS, "the ingress, on RabbitMQ": INGRESS}


def measure(directory: Path, scale: Scale) -> Table:
    """Send to each by turns."""
    rates: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    with RabbitNode() as node:
        for number in range(scale.rounds):
            for at, (name, app) in enumerate(KINDS.items()):
                where = directory / f"{number}-{at}"
                where.mkdir(parents=True)
                broker = node.new_vhost() if "RabbitMQ" in name else f"sqlite:///{where}/bridge.db"
                rate, cost = asyncio.run(_measured(Site(where, broker, "bridge"), app, scale.events))
                rates[name].append(rate)
                costs[name].append(cost)
    bare = statistics.median(rates["a bare handler"])
    return Table(
        "Events over HTTP",
        f"{scale.events:,} requests of {len(BODY)} bytes on {CONNECTIONS} connections that are kept, through nginx and "
        f"bridge-pool with {CHILDREN} children, medians of {scale.rounds} round(s) by turns. The ingress answers when "
        "the broker has confirmed the event; the bare handler reads the body and answers 202. CPU is that of the "
        "children.",
        (
            ("who", "requests/s", "÷ bare", "CPU a request, µs", "goal"),
            *(
                (
                    name,
                    f"{statistics.median(rates[name]):,.0f}",
                    f"{statistics.median(rates[name]) / bare:.2f}",
                    f"{statistics.median(costs[name]) * 1e6:.0f}",
                    "" if "bare" in name else f"≥ {GOAL:,}",
                )
                for name in KINDS
            ),
        ),
    )


async def _measured(site: Site, app: str, count: int) -> tuple[float, float]:
    """Return requests a second, and seconds of CPU of the children for each."""
    site.configure(f'[ingress.tokens.all]\nhash = "{hash_of(TOKEN)}"\nevents = ["#"]\n')
    (site.directory / "bare.py").write_text(BARE)
    address = Address(path=f"{site.directory}/run/ingress.sock")
    try:
        options = ("--bind", str(address), "--children", str(CHILDREN), "--spare", "0")
        pool = site.run("bridge-pool", app, *options)
        await pool.says("warm after")
        server = nginx(site.directory / "nginx", address, site.environment)
        await asyncio.to_thread(_send, server.port, CONNECTIONS * 20)
        began, spent = time.monotonic(), _cpu(pool)
        await asyncio.to_thread(_send, server.port, count)
        seconds, used = time.monotonic() - began, _cpu(pool) - spent
        server.stop()
        return count / seconds, used / count
    finally:
        site.end()


def _cpu(pool: Program) -> float:
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pool.children)


def _send(port: int, count: int) -> None:
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for _ in threads.map(_send_on_one, [port] * CONNECTIONS, [count // CONNECTIONS] * CONNECTIONS):
            pass


def _send_on_one(port: int, count: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 30.0) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            connection.sendall(REQUEST)
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
