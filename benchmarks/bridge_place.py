"""A place for one drain by this project: a directory with settings, a broker of its own, and a backlog."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import records
from benchmarks.contender import PROCESSES, URL
from benchmarks.running_worker import RunningWorker
from bridge.brokers.opening import open_broker
from bridge.config.settings import Settings, load_settings
from tests.deadlines import within
from tests.events import new_event

ROOT = Path(__file__).parents[1]
APP = "benchmarks.contenders.bridge_flask:app"
WORK = "BENCH_WORK"
"""The environment variable with what the app's listener does besides its record: `cpu:SECONDS` or `sleep:SECONDS`."""
AT_ONCE = 500
CONFIRMED_WITHIN = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """`directory` does not exist yet. `url` is that of a broker that nobody else uses; None: a new SQLite file."""

    directory: Path
    url: str | None = None
    toml: str = ""

    def settings(self) -> Settings:
        """Write the settings' file, and return the settings."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._file.write_text(self.toml)
        return load_settings(environ={URL: self._url}, file=str(self._file))

    def publish(self, count: int) -> None:
        """Publish this number of events, confirmed."""
        asyncio.run(_publish(self.settings(), count))

    @contextmanager
    def worker(self, children: int = PROCESSES, work: str = "") -> Iterator[RunningWorker]:
        """Run a worker with this number of children; its records are in the directory."""
        file = self.directory / "records"
        file.touch()
        environment = {records.FILE: str(file), "PYTHONPATH": str(ROOT), URL: self._url, WORK: work}
        command = ("bridge-worker", APP, "--children", str(children), "--config", str(self._file))
        with RunningWorker(command, file, environment) as worker:
            yield worker

    @property
    def _file(self) -> Path:
        return self.directory / "bridge.toml"

    @property
    def _url(self) -> str:
        return self.url or f"sqlite:///{self.directory}/bridge.db"


async def _publish(settings: Settings, count: int) -> None:
    broker = open_broker(settings.values.broker_url, settings.values.namespace)
    try:
        await broker.declare(settings.queues())
        publisher = broker.publisher()
        for first in range(0, count, AT_ONCE):
            made = [new_event("benchmark.sent", b"0") for _ in range(min(AT_ONCE, count - first))]
            await asyncio.gather(*(publisher.publish(event, deadline=within(CONFIRMED_WITHIN)) for event in made))
    finally:
        await broker.close()
