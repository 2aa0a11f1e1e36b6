"""A site with the app `pooled`, for tests of the worker's pool by `bridge-status`."""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.config.settings import load_settings
from bridge.ledger import Letter
from bridge.status import UnreadableStatus, to_json
from tests.journey.site import PROGRAMS, Program, Site
from tests.limits import PATIENCE
from worker.control.control_socket import statuses_of, workers_of
from worker.control.readiness import why_not

APP = "pooled:app"


class PoolSite:
    """A site, the control sockets of its workers, and the files that change how its app boots."""

    def __init__(self, site: Site, sockets: Path) -> None:
        self.site = site
        self.sockets = sockets
        self.environment = {**site.environment, "BRIDGE_CONTROL_DIRECTORY": str(sockets)}

    def worker(self, *arguments: str, **environment: str) -> Program:
        """Start a worker with two children and a spare, without `--preload` unless `arguments` have it."""
        settings = {"BRIDGE_CONTROL_DIRECTORY": str(self.sockets), **environment}
        return self.site.worker(*arguments, app=APP, own_boot=True, **settings)

    def put(self, name: str, text: str) -> None:
        """Write a file that changes how the app boots."""
        (self.site.directory / name).write_text(text)

    def remove(self, name: str) -> None:
        """Remove such a file."""
        (self.site.directory / name).unlink()

    def asked(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `bridge-status`."""
        return subprocess.run(
            [str(PROGRAMS / "bridge-status"), *options],
            cwd=self.site.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def status(self) -> list[dict[str, Any]]:
        """Return what `bridge-status --json` prints, without starting the program: tests ask again and again. Ask again
        while a worker without CPU does not answer in time: its status has none of the usual keys."""
        values, end = load_settings(environ=self.environment).values, time.monotonic() + PATIENCE
        found = statuses_of(values)
        while any(isinstance(each, UnreadableStatus) for each in found):
            assert time.monotonic() < end, found
            found = statuses_of(values)
        return [to_json(status) for status in found]

    def slots(self, *states: str) -> list[dict[str, Any]]:
        """Return the slots of all workers that are in one of these states."""
        return [slot for worker in self.status() for slot in worker["slots"] if slot["state"] in states]

    def pids(self, *states: str) -> set[int]:
        """Return the pids of the slots that are in one of these states."""
        return {slot["pid"] for slot in self.slots(*states)}


@contextmanager
def pool_site(site: Site) -> Iterator[PoolSite]:
    """Yield the site with a directory for control sockets, whose path is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="bridge-", dir="/tmp") as sockets:
        yield PoolSite(site, Path(sockets) / "control")


def is_ready(environment: Mapping[str, str]) -> bool:
    """Return whether `bridge-status --ready` would exit with 0, without starting it."""
    found = workers_of(load_settings(environ=environment).values)
    return bool(found) and all(why_not(status) is None for status in found)


def error_output(letter: Letter) -> str:
    """Return the error output in the letter's transcript."""
    assert letter.transcript is not None
    return letter.transcript.error_output
