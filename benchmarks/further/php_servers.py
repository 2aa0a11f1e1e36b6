"""PHP-FPM and nginx for a measurement: private, on one script, and ended with the run however it ends."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.foreign_pool import Address
from tests.journey.php_fpm import PhpFpm
from tests.journey.site import Site
from tests.journey.web_servers import PARAMS, WebServer, free_port, nginx_user, program

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
        directory = self.site.directory / f"nginx-{keep}"
        directory.mkdir(exist_ok=True)
        port = free_port()
        keeping = (f"keepalive {PROCESSES};", "fastcgi_keep_conn on;") if keep else ("", "")
        (directory / "nginx.conf").write_text(f"""
            {nginx_user()}
            pid {directory}/nginx.pid;
            worker_processes 1;
            error_log stderr warn;
            events {{ worker_connections 256; }}
            http {{
                access_log off;
                keepalive_requests 1000000;
                fastcgi_temp_path {directory}/fastcgi;
                upstream php {{ server {self.address}; {keeping[0]} }}
                server {{
                    listen 127.0.0.1:{port};
                    location / {{
                        include {PARAMS};
                        fastcgi_param SCRIPT_FILENAME {self.script};
                        fastcgi_pass php;
                        {keeping[1]}
                    }}
                }}
            }}
        """)
        command = ["nginx", "-p", str(directory), "-e", "stderr", "-c", str(directory / "nginx.conf")]
        server = WebServer([*command, "-g", "daemon off;"], directory, port, self.site.environment)
        try:
            yield server
        finally:
            server.process.terminate()
            server.process.wait()


@contextmanager
def php_pool(directory: Path, broker_url: str, script: str) -> Iterator[PhpPool]:
    """Start PHP-FPM for a script, with a fixed number of processes."""
    site = Site(directory, broker_url, "bridge")
    fpm = PhpFpm(site, children=PROCESSES)
    try:
        (directory / "script.php").write_text(script)
        asyncio.run(fpm.start())
        yield PhpPool(site, Address(path=str(fpm.socket)), directory / "script.php")
    finally:
        fpm.end()
        site.remove()


def wrk(port: int, seconds: float) -> float:
    """Let wrk ask for so long, over connections that it keeps, and return the requests answered in a second. Raise
    `RuntimeError` where an answer was none of 2xx."""
    command = [program("wrk"), "-t1", f"-c{PROCESSES}", f"-d{seconds:g}s", f"http://127.0.0.1:{port}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    if rate is None or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk: expected answers of 2xx alone, got:\n{said}")
    return float(rate[1])
