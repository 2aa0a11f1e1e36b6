"""The transport alone, without a broker, beside nginx: requests/s of a script that says hello, over PHP-FPM."""

import asyncio
import statistics
import time
from pathlib import Path

import uvloop

from benchmarks.further.php_servers import PROCESSES, PhpPool, beside_nginx, php_pool, wrk
from benchmarks.report import Table
from bridge.outcome import Reply
from worker.foreign_slot import ForeignServer, ForeignSlot

SECONDS = 2.0
ROUNDS = 3
"""Of both, by turns."""
DEADLINE = 30.0

HELLO = "<?php\necho 'hello';\n"


def measure(directory: Path) -> Table:
    """Measure both, with a connection for each request and with kept ones."""
    with php_pool(directory, HELLO) as pool:
        rows = beside_nginx(pool, _transport, _nginx, ROUNDS, statistics.median, "≥ 0.50")
    return Table(
        "The transport alone beside nginx, over PHP-FPM",
        f"Requests/s of a script that says hello, {PROCESSES} at a time, over a pool of {PROCESSES} processes on a "
        f"Unix socket: the bridge's transport without a broker, and nginx with one process, asked by wrk over "
        f"connections that it keeps. The median of {ROUNDS} rounds of {SECONDS:g} s each, by turns.",
        rows,
    )


def _nginx(pool: PhpPool, *, keep: bool) -> float:
    """Return the requests/s of nginx, which runs no longer: each connection that it keeps pins a process."""
    with pool.nginx(keep=keep) as nginx:
        return wrk(nginx.port, SECONDS)


def _transport(pool: PhpPool, *, keep: bool) -> float:
    """Return the requests/s of as many slots as the pool has processes."""
    return uvloop.run(_asked(pool, keep=keep))


async def _asked(pool: PhpPool, *, keep: bool) -> float:
    server = ForeignServer(pool.address)
    slots = [server.open(keep=keep) for _ in range(PROCESSES)]
    began = time.monotonic()
    served = await asyncio.gather(*(_ask(slot, pool, began + SECONDS) for slot in slots))
    rate = sum(served) / (time.monotonic() - began)
    for slot in slots:
        slot.retire()
    return rate


async def _ask(slot: ForeignSlot, pool: PhpPool, until: float) -> int:
    parameters = _parameters(pool)
    served = 0
    while time.monotonic() < until:
        exchange = await slot.exchange(parameters, b"", DEADLINE)
        if not isinstance(exchange, Reply) or exchange.body != b"hello":
            raise RuntimeError(f"expected a reply that says hello, got {exchange!r:.500}")
        served += 1
    return served


def _parameters(pool: PhpPool) -> dict[str, str]:
    """As many as nginx sends."""
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
