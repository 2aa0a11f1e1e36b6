"""A private PHP-FPM pool for a test, on a Unix socket in the site's directory. It uses no system service."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.journey.site import APPS, Site, eventually
from tests.limits import PATIENCE

PROGRAM = "php-fpm8.2"
RECEIVER = Path(__file__).parents[2] / "examples" / "php" / "receiver.php"


class PhpFpm:
    """A PHP-FPM pool of a site, with `children` processes. `options` are further settings of the pool, with `__` in
    place of a dot."""

    def __init__(self, site: Site, children: int = 4, name: str = "fpm", **options: object) -> None:
        self.socket = site.directory / f"{name}.sock"
        self._site = site
        self._log = site.directory / f"{name}.log"
        self._configuration = site.directory / f"{name}.conf"
        self._process: subprocess.Popen[bytes] | None = None
        pool = {
            "user": "root" if os.geteuid() == 0 else None,  # PHP-FPM requires it if root starts it
            "listen": self.socket,
            "pm": "static",
            "pm.max_children": children,
            "php_admin_value[enable_post_data_reading]": "off",
            "php_admin_value[display_errors]": "off",  # otherwise PHP replies 200 to an uncaught error
            **{key.replace("__", "."): value for key, value in options.items()},
        }
        lines = [f"{key} = {value}" for key, value in pool.items() if value is not None]
        head = f"[global]\ndaemonize = no\nerror_log = {self._log}\nprocess_control_timeout = 10s\n[{name}]\n"
        self._configuration.write_text(head + "\n".join(lines) + "\n")

    @property
    def address(self) -> str:
        """The address of the pool, as in `[fastcgi] addresses`."""
        return f"unix:{self.socket}"

    @property
    def log(self) -> str:
        """The error log of the pool."""
        return self._log.read_text(errors="backslashreplace") if self._log.exists() else ""

    async def start(self) -> None:
        """Start the pool, and wait until it is ready."""
        ready = self.log.count("ready to handle connections")
        self._process = self._launched()
        await eventually(
            lambda: self.log.count("ready to handle connections") > ready, report=lambda: f"PHP-FPM's log: {self.log}"
        )

    @property
    def processes(self) -> set[int]:
        """The pids of the pool's processes."""
        assert self._process is not None
        found = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=True)
        return {int(pid) for pid in found.stdout.split()}

    async def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Send a signal to the pool and wait until it has ended. SIGQUIT lets it finish the running requests."""
        process = self._process
        assert process is not None
        process.send_signal(number)
        await eventually(lambda: process.poll() is not None, report=lambda: self.log)

    def end(self) -> None:
        """End the pool now. The site's guard cannot: PHP-FPM overwrites its environment with its process title."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def _launched(self) -> subprocess.Popen[bytes]:
        as_root = ["--allow-to-run-as-root"] if os.geteuid() == 0 else []
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # Debian installs it there
        dies_with_the_test_run = ["setpriv", "--pdeathsig", "TERM"]
        return subprocess.Popen(
            [
                *dies_with_the_test_run,
                PROGRAM,
                "--nodaemonize",
                "--no-php-ini",
                *as_root,
                "--fpm-config",
                str(self._configuration),
            ],
            env={**os.environ, **self._site.environment, "PATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


Pools = Callable[..., PhpFpm]
"""Makes a `PhpFpm`, with the same arguments."""


def pool_of(
    site: Site, *pools: PhpFpm, connections: int = 4, params: Mapping[str, object] | None = None, **more: object
) -> str:
    """Return the `[fastcgi]` table of settings for a worker on these pools."""
    usual = {"EFFECTS": site.environment["EFFECTS"], "RECEIVER": RECEIVER}
    table: dict[str, object] = {
        "addresses": [pool.address for pool in pools],
        "connections": connections,
        "script_filename": str(APPS / "behaving.php"),
        **more,
        "params": {**usual, **(params or {})},
    }
    return "[fastcgi]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{key} = {_toml(item)}' for key, item in value.items())}}}"
    return f"'{value}'"
