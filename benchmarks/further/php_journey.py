"""The whole journey into PHP-FPM compared with nginx: requests/s of a script that uses 5 ms of CPU, by its records."""

import asyncio
import time
from pathlib import Path

from benchmarks import records
from benchmarks.further.php_servers import PROCESSES, PhpPool, compared_with_nginx, php_pool, wrk
from benchmarks.report import Table
from benchmarks.scale import Scale
from tests.journey.site import eventually

ROUNDS = 2
"""Rounds of each, in alternation. Other load on the machine can only lower a rate, so the best round counts."""
BACKLOG = 1_000
NGINX_SECONDS = 3.0
STARTED = 200
"""The number of requests before the clock starts, so that all processes have started."""

SCRIPT = """\
<?php
function used(): float {
    $usage = getrusage();
    return $usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']
        + ($usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec']) / 1e6;
}
$end = used() + 0.005;
do { for ($i = 0; $i < 5000; $i++); } while (used() < $end);
header('Bridge-Outcome: delivered');
file_put_contents(__DIR__ . '/records', pack('dd', 0, hrtime(true) / 1e9), FILE_APPEND);
"""
"""The script appends a record in the format of `benchmarks.records`."""


def measure(directory: Path, scale: Scale) -> Table:
    """Measure the journey, on an SQLite file, and nginx."""
    with php_pool(directory, SCRIPT) as pool:
        rows = compared_with_nginx(pool, _journey, _nginx, ROUNDS, max, "≥ 0.90")
    return Table(
        "The whole journey compared with nginx, over PHP-FPM",
        f"Requests/s of a script that uses 5 ms of CPU, {PROCESSES} at a time, on a pool of {PROCESSES} processes: "
        f"`bridge-worker` with a backlog of {BACKLOG:,} events on SQLite, and nginx with requests from wrk for "
        f"{NGINX_SECONDS:g} s. The best of {ROUNDS} rounds, in alternation.",
        rows,
    )


def _nginx(pool: PhpPool, *, keep: bool) -> float:
    """Return the requests/s with nginx."""
    began = time.monotonic()
    with pool.nginx(keep=keep) as nginx:
        wrk(nginx.port, NGINX_SECONDS)
    return _per_second(pool, began)


def _journey(pool: PhpPool, *, keep: bool) -> float:
    """Return the requests/s of a worker that drains a backlog."""
    return asyncio.run(_drained(pool, keep=keep))


async def _drained(pool: PhpPool, *, keep: bool) -> float:
    site = pool.site
    site.configure(
        f"[fastcgi]\naddresses = ['{pool.address}']\nconnections = {PROCESSES}\nkeep_connection = {str(keep).lower()}\n"
        f"script_filename = '{pool.script}'\n"
    )
    await site.defer("benchmark.sent", count=BACKLOG)
    began = time.monotonic()
    _records(pool).touch()
    all_handled = records.count(_records(pool)) + BACKLOG
    worker = site.run("bridge-worker")
    await eventually(lambda: records.count(_records(pool)) >= all_handled, within=60, report=lambda: worker.log)
    rate = _per_second(pool, began)
    worker.process.terminate()
    await worker.ended()
    return rate


def _records(pool: PhpPool) -> Path:
    return pool.script.with_name("records")


def _per_second(pool: PhpPool, since: float) -> float:
    moments = [moment for _, moment in records.read(_records(pool)) if moment > since]
    return (len(moments) - STARTED) / (moments[-1] - moments[STARTED - 1])
