"""Private PHP-FPM and nginx for a measurement, and the comparison of this project's rates with nginx's.

The servers end with the run, even if it is killed.
"""

import asyncio
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.report import Row
from bridge.config.foreign_pool import Address
from tests.journey.php_fpm import PhpFpm
from tests.journey.site import Site, site_on_sqlite
from tests.journey.web_servers import WebServer, nginx_with, program

PROCESSES = 4
"""Processes of the PHP-FPM pool, and the number of requests at the same time."""


@dataclass(frozen=True, slots=True)
class PhpPool:
    """A running PHP-FPM pool, the script for it, and the site that it ends with."""

    site: Site
    address: Address
    script: Path

    @contextmanager
    def nginx(self, *, keep: bool) -> Iterator[WebServer]:
        """Start nginx in front of the pool, with its usual parameters; with `keep`, it keeps its connections."""
        http = "keepalive_requests 1000000;"
        location = f"fastcgi_param SCRIPT_FILENAME {self.script};"
        directory = self.site.directory / f"nginx-{keep}"
        kept = PROCESSES if keep else 0
        server = nginx_with(http, location, directory, self.address, self.site.environment, kept=kept)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def php_pool(directory: Path, script: str) -> Iterator[PhpPool]:
    """Start PHP-FPM for a script, with `PROCESSES` processes, and make a site on SQLite for it."""
    site = site_on_sqlite(directory)
    fpm = PhpFpm(site, children=PROCESSES)
    try:
        (directory / "script.php").write_text(script)
        asyncio.run(fpm.start())
        yield PhpPool(site, Address(path=str(fpm.socket)), directory / "script.php")
    finally:
        fpm.end()
        site.remove()


class Rate(Protocol):
    """Measures the requests/s of a pool, with a new connection for each request or with kept ones."""

    def __call__(self, pool: PhpPool, *, keep: bool) -> float:
        """Measure once."""


def compared_with_nginx(
    pool: PhpPool, ours: Rate, nginx: Rate, rounds: int, over: Callable[[Sequence[float]], float], goal: str
) -> tuple[Row, ...]:
    """Measure both in alternation; return the rows of a table. `over` combines the rounds, such as median or max."""
    rows: list[Row] = [("connections to PHP-FPM", "this project", "nginx", "ratio", "goal")]
    for keep in (False, True):
        rates = [(ours(pool, keep=keep), nginx(pool, keep=keep)) for _ in range(rounds)]
        bridge_rate, nginx_rate = (over(each) for each in zip(*rates, strict=True))
        what = "kept" if keep else "one a request"
        rows.append((what, f"{bridge_rate:,.0f}", f"{nginx_rate:,.0f}", f"{bridge_rate / nginx_rate:.2f}", goal))
    return tuple(rows)


def wrk(port: int, seconds: float) -> float:
    """Let wrk send requests for this many seconds, over kept connections; return the requests/s. Raise `RuntimeError`
    if a response was not 2xx."""
    command = [program("wrk"), "-t1", f"-c{PROCESSES}", f"-d{seconds:g}s", f"http://127.0.0.1:{port}/"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    if rate is None or "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"wrk: expected only 2xx responses, got:\n{output}")
    return float(rate[1])
