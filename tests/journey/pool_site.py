"""A site whose workers are looked at through `bridge-status`, on the app that is made for trying the pool."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.ledger import Letter
from tests.journey.site import PROGRAMS, Program, Site

APP = "pooled:app"


class PoolSite:
    """A site, its workers' control sockets, and the files by which its app boots."""

    def __init__(self, site: Site, sockets: Path) -> None:
        self.site = site
        self.sockets = sockets
        self.environment = {**site.environment, "BRIDGE_CONTROL_DIRECTORY": str(sockets)}

    def worker(self, *arguments: str, **environment: str) -> Program:
        """Start a worker with two children and a spare."""
        return self.site.worker(*arguments, app=APP, BRIDGE_CONTROL_DIRECTORY=str(self.sockets), **environment)

    def put(self, name: str, text: str) -> None:
        """Write a file that changes how the app boots from now on."""
        (self.site.directory / name).write_text(text)

    def remove(self, name: str) -> None:
        """Take such a file away."""
        (self.site.directory / name).unlink()

    def asked(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `bridge-status`."""
        return subprocess.run(
            [str(PROGRAMS / "bridge-status"), *options],
            cwd=self.site.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    def status(self) -> list[dict[str, Any]]:
        """What it says to machines."""
        told: list[dict[str, Any]] = json.loads(self.asked("--json").stdout or "[]")
        return told

    def slots(self, *states: str) -> list[dict[str, Any]]:
        """The slots of all workers that are in one of these states."""
        return [slot for worker in self.status() for slot in worker["slots"] if slot["state"] in states]

    def pids(self, *states: str) -> set[int]:
        """Their processes."""
        return {slot["pid"] for slot in self.slots(*states)}


@contextmanager
def pool_site(site: Site) -> Iterator[PoolSite]:
    """Yield it, with a directory for its sockets whose path is short enough for one."""
    with tempfile.TemporaryDirectory(prefix="bridge-", dir="/tmp") as sockets:
        yield PoolSite(site, Path(sockets) / "control")


def error_output(letter: Letter) -> str:
    """What the transcript of its last attempt has beside the reply."""
    assert letter.transcript is not None
    return letter.transcript.error_output
