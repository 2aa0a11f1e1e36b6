"""A site for a test: a directory with an app and its settings, a broker, and the programs that run on them."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGHUP, SIGTERM, Signals
from typing import Any

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.opening import open_broker
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.config.settings import load_settings
from bridge.errors import BrokerUnavailable
from bridge.ledger import Letter, open_letters
from bridge.queues import Queue
from tests.deadlines import within
from tests.events import new_event
from tests.guard import Guard, marked_processes
from tests.limits import PATIENCE
from tests.lines import whole_lines
from tests.rabbitmq_node import RabbitNode

APPS = Path(__file__).with_name("apps")
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Effect:
    """A line that a listener wrote to `EFFECTS`."""

    id: str
    name: str
    attempt: int
    queue: str
    pid: int
    at: float
    step: str
    began: bool = True


class Program:
    """A running program, and its output."""

    def __init__(self, command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        self._log = directory / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
        self._unhandled = {SIGTERM, SIGHUP}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=directory, env={**os.environ, **environment}, stdout=log, stderr=log
            )

    @property
    def log(self) -> str:
        """The output of the program so far, stdout and stderr."""
        return self._log.read_text(errors="backslashreplace")

    @property
    def children(self) -> list[int]:
        """The pids of the program's living child processes."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def signal(self, number: Signals) -> None:
        """Send a signal to the program. The first SIGTERM or SIGHUP waits until the program handles it: a program that
        still starts would die of it, and on an idle machine a test can be faster than a start. `process.send_signal`
        does not wait."""
        if number in self._unhandled:
            self._await_handler(number)
            self._unhandled.remove(number)
        self.process.send_signal(number)

    async def ended(self, within: float = PATIENCE) -> int:
        """Wait until the program has ended; return its exit code."""
        await eventually(lambda: self.process.poll() is not None, within, lambda: self.log)
        return self.process.returncode

    async def says(self, text: str, within: float = PATIENCE) -> None:
        """Wait until the output has this text."""
        await eventually(lambda: text in self.log, within, lambda: f"{text!r} is not in: {self.log}")

    def _await_handler(self, number: Signals) -> None:
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and not _handles(self.process.pid, number):
            assert time.monotonic() < end, f"{number.name} is not handled: {self.log}"
            time.sleep(0.01)


class Site:
    """A site: `run` programs on it, `defer` events, and inspect `effects` and `letters`."""

    def __init__(self, directory: Path, broker_url: str, namespace: str) -> None:
        self.directory = directory
        self.broker_url = broker_url
        self.namespace = namespace
        self._declared: dict[str, Queue] = {}
        self._guard = Guard(directory)
        self.environment = {
            "BRIDGE_BROKER_URL": broker_url,
            "BRIDGE_NAMESPACE": namespace,
            "BRIDGE_PUBLISH_TIMEOUT": f"{PATIENCE:g}s",
            "EFFECTS": str(directory / "effects"),
            **self._guard.environment,
        }
        for app in APPS.glob("*.py"):
            shutil.copy(app, directory)
        self.configure("retry = {attempts = 3, initial = '1s', base = 1, jitter = 0}\n")

    def configure(self, toml: str) -> None:
        """Write the site's bridge.toml."""
        (self.directory / "bridge.toml").write_text(toml)

    def end(self) -> None:
        """End all programs and remove the site's files. Its queues on RabbitMQ stay."""
        self._guard.clear()

    def remove(self) -> None:
        """Do as `end` does, and remove the site's queues from RabbitMQ. After a restart of the node, call
        `RabbitNode.await_leaders` before."""
        on_rabbitmq = self.broker_url.startswith("amqp")
        if on_rabbitmq:
            self._note_queues()
        self.end()
        if on_rabbitmq:
            broker = RabbitBroker.from_url(self.broker_url, self.namespace)
            asyncio.run(when_reached(lambda: broker.remove(tuple(self._declared.values()))))

    @property
    def processes(self) -> list[int]:
        """The pids of all living processes of the site, with those that its programs have started."""
        return [pid for pid in marked_processes(str(self.directory)) if _alive(pid)]

    def run(self, program: str, *arguments: str, **environment: str) -> Program:
        """Start one of our programs."""
        command = [str(PROGRAMS / program), *arguments]
        return Program(command, self.directory, {**self.environment, **environment})

    def worker(self, *arguments: str, app: str = "behaving:app", own_boot: bool = False, **environment: str) -> Program:
        """Start a worker with two children and a spare. They are forked from a nursery, which halves the time of their
        boot, unless `own_boot`: for tests about the boot, and for tests that count processes."""
        preload = () if own_boot else ("--preload",)
        return self.run("bridge-worker", app, "--children", "2", *preload, *arguments, **environment)

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[Broker]:
        """The site's broker, with its queues declared."""
        broker = open_broker(self.broker_url, self.namespace)
        try:
            queues = self._note_queues()
            await when_reached(lambda: broker.declare(queues))
            yield broker
        finally:
            await broker.close()

    async def defer(self, name: str, *steps: str, count: int = 1, delay: float = 0.0) -> list[str]:
        """Defer `count` events with these steps, due after `delay` seconds; return their ids."""
        due = datetime.now(UTC) + timedelta(seconds=delay) if delay else None
        data = json.dumps({"do": steps}).encode()
        made = [new_event(name, data) for _ in range(count)]
        async with self.broker() as broker:
            publisher = broker.publisher()
            for first in range(0, count, 200):
                await asyncio.gather(
                    *(publisher.publish(event, due, deadline=within(PATIENCE)) for event in made[first : first + 200])
                )
            await publisher.close()
        return [event.id for event in made]

    def effects(self, **wanted: Any) -> list[Effect]:
        """Return the lines that the listeners wrote, in order; only those with the `wanted` values."""
        effects = [Effect(**json.loads(line)) for line in whole_lines(Path(self.environment["EFFECTS"]))]
        return [effect for effect in effects if all(getattr(effect, key) == value for key, value in wanted.items())]

    async def letters(self) -> list[Letter]:
        """Return the open dead letters."""
        async with self.broker() as broker:
            ledger = broker.ledger()
            numbers = open_letters([entry async for entry in ledger.entries()])
            found = [await ledger.letter(number) for number in numbers]
            await ledger.close()
        return [letter for letter in found if letter is not None]

    async def letters_at_least(self, count: int) -> list[Letter]:
        """Wait until so many dead letters are open; return them."""
        async with asyncio.timeout(PATIENCE):
            while len(letters := await self.letters()) < count:
                await asyncio.sleep(0.1)
        return letters

    async def backlog(self) -> Mapping[str, Backlog]:
        """Return the backlog of the queues, as a consumer that takes no events counts it."""
        async with self.broker() as broker:
            consumer = broker.consumer()
            return await consumer.backlog()

    async def ready(self, count: int) -> None:
        """Wait until exactly so many events are ready in the queue `default`: a broker may take some time to count
        those that return to their queue."""
        async with asyncio.timeout(PATIENCE):
            while (await self.backlog())["default"].ready != count:
                await asyncio.sleep(0.1)

    def _note_queues(self) -> Sequence[Queue]:
        """Return the queues in the current settings, and note them for `remove`."""
        queues = load_settings(environ=self.environment, file=str(self.directory / "bridge.toml")).queues()
        self._declared.update((queue.name, queue) for queue in queues)
        return queues


def site_on_sqlite(directory: Path) -> Site:
    """Make a site whose broker is a file in its directory."""
    return Site(directory, f"sqlite:///{directory}/bridge.db", "bridge")


@contextmanager
def site_on(node: RabbitNode, directory: Path) -> Iterator[Site]:
    """Make a site on a node that tests may break, and remove it at the end of the `with` block."""
    site = Site(directory, node.url, f"n{uuid.uuid4().hex[:10]}")
    try:
        yield site
    finally:
        if node.await_leaders():
            site.remove()
        else:
            site.end()


async def when_reached(work: Callable[[], Coroutine[Any, Any, object]], within: float = PATIENCE) -> None:
    """Do `work` as soon as the broker can be reached: a node may need some time after a test has broken it."""
    async with asyncio.timeout(within):
        while True:
            try:
                await work()
            except BrokerUnavailable:
                continue  # without a sleep: connecting has taken some seconds
            return


async def eventually(
    holds: Callable[[], bool], within: float = PATIENCE, report: Callable[[], str] = lambda: "the condition stays false"
) -> None:
    """Wait until the condition holds; fail with the report if it does not within this many seconds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, report()
        await asyncio.sleep(0.02)


def _handles(pid: int, number: Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    handled = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(handled >> (number - 1) & 1)


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
