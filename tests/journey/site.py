"""A site of a test's own: a directory with an app and its settings, a broker, and the programs that run on it."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bridge.brokers.contract import Backlog, Broker
from bridge.brokers.opening import open_broker
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.errors import BrokerUnavailable
from bridge.ledger import Letter, open_letters
from bridge.queues import Queue
from bridge.settings import load_settings
from tests.events import new_event
from tests.guard import Guard, marked_processes
from tests.rabbitmq_node import RabbitNode

APPS = Path(__file__).with_name("apps")
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Effect:
    """A line that a listener wrote."""

    id: str
    name: str
    attempt: int
    queue: str
    pid: int
    at: float
    step: str
    began: bool = True


class Program:
    """A running program of ours, and what it logs."""

    def __init__(self, command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        self._log = directory / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=directory, env={**os.environ, **environment}, stdout=log, stderr=log
            )

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="backslashreplace")

    @property
    def children(self) -> list[int]:
        """The processes that it has started, and that are alive."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self, within: float = 60.0) -> int:
        """Wait for its end, and return its exit code."""
        await eventually(lambda: self.process.poll() is not None, within, lambda: self.log)
        return self.process.returncode

    async def says(self, text: str, within: float = 30.0) -> None:
        """Wait until its log has this text."""
        await eventually(lambda: text in self.log, within, lambda: f"{text!r} is not in: {self.log}")


class Site:
    """A site. `start` what it needs, `defer` to it, and look at its effects and its letters."""

    def __init__(self, directory: Path, broker_url: str, namespace: str) -> None:
        self.directory = directory
        self.broker_url = broker_url
        self.namespace = namespace
        self._declared: dict[str, Queue] = {}
        self._guard = Guard(directory)
        self.environment = {
            "BRIDGE_BROKER_URL": broker_url,
            "BRIDGE_NAMESPACE": namespace,
            "EFFECTS": str(directory / "effects"),
            **self._guard.environment,
        }
        for app in APPS.glob("*.py"):
            shutil.copy(app, directory)
        self.configure("retry = {attempts = 3, initial = '1s', base = 1, jitter = 0}\n")

    def configure(self, toml: str) -> None:
        """Write its bridge.toml."""
        (self.directory / "bridge.toml").write_text(toml)

    def end(self) -> None:
        """End every program, and remove its files. What it has on RabbitMQ stays: that a node lives on which has just
        come back, for RabbitMQ 3.10 loses all its quorum queues where some are deleted before they have a leader."""
        self._guard.clear()

    def remove(self) -> None:
        """The same, and remove what it has on RabbitMQ."""
        self.end()
        if self.broker_url.startswith("amqp"):
            broker = RabbitBroker.from_url(self.broker_url, self.namespace)
            asyncio.run(when_reached(lambda: broker.remove(tuple(self._declared.values()))))

    @property
    def processes(self) -> list[int]:
        """Every process that was started here, by a program too, and is alive."""
        return [pid for pid in marked_processes(str(self.directory)) if _alive(pid)]

    def run(self, program: str, *arguments: str, **environment: str) -> Program:
        """Start a program of ours."""
        command = [str(PROGRAMS / program), *arguments]
        return Program(command, self.directory, {**self.environment, **environment})

    def worker(self, *arguments: str, app: str = "behaving:app", **environment: str) -> Program:
        """Start a worker with two children and their spare."""
        return self.run("bridge-worker", app, "--children", "2", *arguments, **environment)

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[Broker]:
        """The site's broker, with its queues declared."""
        broker = open_broker(self.broker_url, self.namespace)
        try:
            settings = load_settings(environ=self.environment, file=str(self.directory / "bridge.toml"))
            self._declared.update((queue.name, queue) for queue in settings.queues())
            await when_reached(lambda: broker.declare(settings.queues()))
            yield broker
        finally:
            await broker.close()

    async def defer(self, name: str, *steps: str, count: int = 1, delay: float = 0.0) -> list[str]:
        """Defer events that ask for these steps, and return their ids."""
        due = datetime.now(UTC) + timedelta(seconds=delay) if delay else None
        data = json.dumps({"do": steps}).encode()
        made = [new_event(name, data) for _ in range(count)]
        async with self.broker() as broker:
            publisher = broker.publisher()
            for some in range(0, count, 200):
                await asyncio.gather(*(publisher.publish(event, due, within=30) for event in made[some : some + 200]))
            await publisher.close()
        return [event.id for event in made]

    def effects(self, **wanted: Any) -> list[Effect]:
        """What the listeners wrote, in order; with these values where some are given."""
        try:
            lines = Path(self.environment["EFFECTS"]).read_text().splitlines()
        except FileNotFoundError:
            return []
        effects = [Effect(**json.loads(line)) for line in lines]
        return [effect for effect in effects if all(getattr(effect, key) == value for key, value in wanted.items())]

    async def letters(self) -> list[Letter]:
        """The open dead letters, whole."""
        async with self.broker() as broker:
            ledger = broker.ledger()
            numbers = open_letters([entry async for entry in ledger.entries()])
            found = [await ledger.letter(number) for number in numbers]
            await ledger.close()
        return [letter for letter in found if letter is not None]

    async def backlog(self) -> Mapping[str, Backlog]:
        """What the queues hold, as somebody sees who takes nothing."""
        async with self.broker() as broker:
            consumer = broker.consumer()
            return await consumer.backlog()


def site_on_sqlite(directory: Path) -> Site:
    """Make a site whose broker is a file in its directory."""
    return Site(directory, f"sqlite:///{directory}/bridge.db", "bridge")


@contextmanager
def site_on(node: RabbitNode, directory: Path) -> Iterator[Site]:
    """Make a site on a node that ends with the tests, and the site's queues with it."""
    site = Site(directory, node.url, f"n{uuid.uuid4().hex[:10]}")
    try:
        yield site
    finally:
        site.end()


async def when_reached(work: Callable[[], Coroutine[Any, Any, object]], within: float = 60.0) -> None:
    """Do it as soon as the broker can be reached: a node that a test has hurt takes its time to come back."""
    async with asyncio.timeout(within):
        while True:
            try:
                await work()
            except BrokerUnavailable:
                continue  # it has waited for some seconds
            return


async def eventually(
    holds: Callable[[], bool], within: float = 30.0, report: Callable[[], str] = lambda: "it never came true"
) -> None:
    """Wait until it holds; fail with the report where it does not within so many seconds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, report()
        await asyncio.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
