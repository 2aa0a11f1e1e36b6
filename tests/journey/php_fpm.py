"""A private PHP-FPM: a pool of a test's own, on a Unix socket in its directory, that touches no system service."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.journey.site import APPS, Site, eventually

PROGRAM = "php-fpm8.2"
RECEIVER = Path(__file__).parents[2] / "examples" / "php" / "receiver.php"


class PhpFpm:
    """PHP-FPM that runs `behaving.php` for a site; `children` processes, and what else its pool is to be told."""

    def __init__(self, site: Site, children: int = 4, name: str = "fpm", **options: object) -> None:
        self.socket = site.directory / f"{name}.sock"
        self._site = site
        self._log = site.directory / f"{name}.log"
        self._configuration = site.directory / f"{name}.conf"
        self._process: subprocess.Popen[bytes] | None = None
        pool = {
            "user": "root" if os.geteuid() == 0 else None,  # asked for where it is root that starts it
            "listen": self.socket,
            "pm": "static",
            "pm.max_children": children,
            "php_admin_value[enable_post_data_reading]": "off",
            "php_admin_value[display_errors]": "off",  # else PHP answers 200 to an error that nobody caught
            **{key.replace("__", "."): value for key, value in options.items()},
        }
        lines = [f"{key} = {value}" for key, value in pool.items() if value is not None]
        head = f"[global]\ndaemonize = no\nerror_log = {self._log}\nprocess_control_timeout = 10s\n[{name}]\n"
        self._configuration.write_text(head + "\n".join(lines) + "\n")

    @property
    def address(self) -> str:
        """Its address, as the settings name it."""
        return f"unix:{self.socket}"

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="backslashreplace") if self._log.exists() else ""

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        ready = self.log.count("ready to handle connections")
        self._process = self._launched()
        await eventually(
            lambda: self.log.count("ready to handle connections") > ready, report=lambda: f"PHP-FPM says: {self.log}"
        )

    @property
    def processes(self) -> set[int]:
        """The processes that serve."""
        assert self._process is not None
        found = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=True)
        return {int(pid) for pid in found.stdout.split()}

    async def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it, by SIGQUIT when what runs is done, and wait for its end."""
        process = self._process
        assert process is not None
        process.send_signal(number)
        await eventually(lambda: process.poll() is not None, report=lambda: self.log)

    def end(self) -> None:
        """End it now. It writes its title over its environment, so that nobody else would find it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def _launched(self) -> subprocess.Popen[bytes]:
        as_root = ["--allow-to-run-as-root"] if os.geteuid() == 0 else []
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # where Debian keeps it
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
"""Makes a PHP-FPM for a site, as it is made itself."""


def pool_of(
    site: Site, *pools: PhpFpm, connections: int = 4, params: Mapping[str, object] | None = None, **more: object
) -> str:
    """The `[fastcgi]` table that points a worker at these."""
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
