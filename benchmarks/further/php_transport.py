"""The transport without a broker compared with nginx: requests/s of a PHP script that prints hello, over PHP-FPM."""

import asyncio
import statistics
import time
from pathlib import Path

import uvloop

from benchmarks.further.php_servers import PROCESSES, PhpPool, compared_with_nginx, php_pool, wrk
from benchmarks.report import Table
from benchmarks.scale import Scale
from bridge.fastcgi import encode_request
from bridge.outcome import Reply
from worker.slots.foreign_slot import ForeignServer
from worker.slots.slot import Request
from worker.slots.slots import Slots

SECONDS = 2.0
ROUNDS = 3
"""Rounds of each, in alternation."""
DEADLINE = 30.0

HELLO = "<?php\necho 'hello';\n"


def measure(directory: Path, scale: Scale) -> Table:
    """Measure both, with a new connection for each request and with kept ones."""
    with php_pool(directory, HELLO) as pool:
        rows = compared_with_nginx(pool, _transport, _nginx, ROUNDS, statistics.median, "≥ 0.90")
    return Table(
        "The transport alone compared with nginx, over PHP-FPM",
        f"Requests/s of a script that prints hello, {PROCESSES} at a time, on a pool of {PROCESSES} processes on a "
        f"Unix socket: the bridge's transport without a broker, and nginx with one process, with requests from wrk "
        f"over kept connections. The median of {ROUNDS} rounds of {SECONDS:g} s each, in alternation.",
        rows,
    )


def _nginx(pool: PhpPool, *, keep: bool) -> float:
    """Return the requests/s of nginx, and stop it: each connection that it keeps blocks a process."""
    with pool.nginx(keep=keep) as nginx:
        return wrk(nginx.port, SECONDS)


def _transport(pool: PhpPool, *, keep: bool) -> float:
    """Return the requests/s of our slots, one for each process of the pool."""
    return uvloop.run(_asked(pool, keep=keep))


async def _asked(pool: PhpPool, *, keep: bool) -> float:
    server = ForeignServer(pool.address)
    opened = [server.open(keep=keep) for _ in range(PROCESSES)]
    slots = Slots(PROCESSES)
    for slot in opened:
        slots.open(slot)
    began = time.monotonic()
    served = await asyncio.gather(*(_ask(slots, pool, began + SECONDS) for _ in opened))
    rate = sum(served) / (time.monotonic() - began)
    for slot in opened:
        slot.retire()
    return rate


async def _ask(slots: Slots, pool: PhpPool, until: float) -> int:
    request = Request("hello", "1", "default", 1, encode_request(_parameters(pool), b""))
    served = 0
    while time.monotonic() < until:
        exchange = (await slots.exchange(request, DEADLINE)).exchange
        if not isinstance(exchange, Reply) or exchange.body != b"hello":
            raise RuntimeError(f"expected a reply with the body hello, got {exchange!r:.500}")
        served += 1
    return served


def _parameters(pool: PhpPool) -> dict[str, str]:
    """Return the parameters that nginx sends, so that both send as much."""
    return {
        "QUERY_STRING": "",
        "REQUEST_METHOD": "GET",
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "0",
        "SCRIPT_NAME": "/",
        "REQUEST_URI": "/",
        "DOCUMENT_URI": "/",
        "DOCUMENT_ROOT": str(pool.script.parent),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "deferred-event-bridge",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "0",
        "SERVER_ADDR": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_NAME": "localhost",
        "REDIRECT_STATUS": "200",
        "SCRIPT_FILENAME": str(pool.script),
        "HTTP_HOST": "localhost",
    }
