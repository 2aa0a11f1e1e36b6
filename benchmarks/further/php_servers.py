"""PHP-FPM and nginx for a measurement: private, on one script, and ended with the run however it ends; and how this
project's rates and nginx's are compared.
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
from bridge.foreign_pool import Address
from tests.journey.php_fpm import PhpFpm
from tests.journey.site import Site, site_on_sqlite
from tests.journey.web_servers import WebServer, nginx_with, program

PROCESSES = 4
"""Of the PHP-FPM pool, and requests that are under way at a time."""


@dataclass(frozen=True, slots=True)
class PhpPool:
    """A PHP-FPM pool that runs, the script that it is to run, and the site that ends it."""

    site: Site
    address: Address
    script: Path

    @contextmanager
    def nginx(self, *, keep: bool) -> Iterator[WebServer]:
        """nginx in front of it, with its usual parameters; with `keep` over connections that it keeps."""
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
    """Start PHP-FPM for a script, with a fixed number of processes, and a site on SQLite beside it."""
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
    """Measures the requests/s that a pool serves, with a connection for each request or with kept ones."""

    def __call__(self, pool: PhpPool, *, keep: bool) -> float:
        """Measure once."""


def beside_nginx(
    pool: PhpPool, ours: Rate, nginx: Rate, rounds: int, over: Callable[[Sequence[float]], float], goal: str
) -> tuple[Row, ...]:
    """Measure both by turns, and return the rows of a table: of each its median, or its best, `over` the rounds."""
    rows: list[Row] = [("connections to PHP-FPM", "this project", "nginx", "ratio", "goal")]
    for keep in (False, True):
        rates = [(ours(pool, keep=keep), nginx(pool, keep=keep)) for _ in range(rounds)]
        our, their = (over(each) for each in zip(*rates, strict=True))
        what = "kept" if keep else "one a request"
        rows.append((what, f"{our:,.0f}", f"{their:,.0f}", f"{our / their:.2f}", goal))
    return tuple(rows)


def wrk(port: int, seconds: float) -> float:
    """Let wrk ask for so long, over connections that it keeps, and return the requests answered in a second. Raise
    `RuntimeError` where an answer was none of 2xx."""
    command = [program("wrk"), "-t1", f"-c{PROCESSES}", f"-d{seconds:g}s", f"http://127.0.0.1:{port}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    if rate is None or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk: expected answers of 2xx alone, got:\n{said}")
    return float(rate[1])
