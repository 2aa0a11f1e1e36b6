"""A real Sidekiq, Debian's package in Ruby: its processes, which run jobs, and its client, which pushes them."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.limits import PATIENCE
from tests.lines import whole_lines

RUBY = Path(__file__).with_name("ruby")


class RealSidekiq:
    """Sidekiq on this Redis. Its jobs are written to a file in the directory."""

    def __init__(self, url: str, directory: Path) -> None:
        self._done = directory / "done"
        self._log = directory / "sidekiq.log"
        self._environment = {**os.environ, "REDIS_URL": url, "DONE": str(self._done), "LANG": "C.UTF-8"}

    def client(self, code: str) -> Any:
        """Run Ruby code with Sidekiq's client; return its result."""
        command = ["ruby", str(RUBY / "client.rb"), code]
        ran = subprocess.run(command, env=self._environment, capture_output=True, check=False, timeout=PATIENCE)
        assert ran.returncode == 0, ran.stderr.decode()
        return json.loads(ran.stdout)

    @contextmanager
    def running(self, *queues: str) -> Iterator[None]:
        """Run a Sidekiq process that serves these queues."""
        options = [word for queue in queues or ("default",) for word in ("-q", queue)]
        command = ["sidekiq", "-r", str(RUBY / "workers.rb"), "-c", "4", "-t", "1", *options]
        with self._log.open("wb") as log:
            process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
            try:
                yield
            finally:
                process.terminate()
                process.wait(PATIENCE)

    @property
    def done(self) -> list[tuple[str, list[Any]]]:
        """The ids and arguments of the jobs that have run, in order."""
        return [(jid, args) for jid, args in map(json.loads, whole_lines(self._done))]
