"""Runs bridge-dlq for the contract tests, and changes the site next to it. Has no tests."""

import asyncio
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from click.testing import CliRunner, Result

from bridge.attempt import Attempt, Error
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Delivery
from bridge.brokers.opening import open_broker
from bridge.event import Event
from bridge.ledger import Dead, Entry, Letter, Transcript, open_letters
from bridge.queues import Queue
from dead_letter.cli import main
from tests.contract.acts import an_event, consuming, entries_of, now, take
from tests.contract.conftest import Site
from tests.limits import PATIENCE

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
QUEUES = [Queue("mail", ("mail.#",)), Queue("default")]
TIMEOUT = Error("Timeout", "timed out \x1b[31m", "Traceback …")


@dataclass
class Dlq:
    """The program on a site, and the site's broker as other programs use it."""

    site: Site
    environment: dict[str, str]

    @classmethod
    def on(cls, site: Site, folder: Path) -> Self:
        """Declare the site's queues. The program's cache is in the folder."""
        dlq = cls(site, {"XDG_CACHE_HOME": str(folder / "cache"), "LOGNAME": "ann", "PYTHONUNBUFFERED": ""})
        dlq.with_broker(lambda broker: broker.declare(QUEUES))
        return dlq

    @property
    def options(self) -> list[str]:
        return ["--broker-url", self.site.url, "--namespace", self.site.namespace]

    def __call__(self, *words: str) -> Result:
        """Run a command in this process, without a terminal."""
        return CliRunner(env=self.environment).invoke(main, [*self.options, *words], catch_exceptions=False)

    def on_terminal(self, *words: str) -> tuple[int, str]:
        """Run a command as a process in this directory, on a terminal; return its exit code and what was shown."""
        command = [sys.executable, "-m", "dead_letter.cli", *self.options, *words]
        master, slave = pty.openpty()
        environment = {**os.environ, **self.environment}
        process = subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        shown = shown_until(master, None)
        os.close(master)
        return process.wait(PATIENCE), shown

    def start(self, *words: str, **pipes: Any) -> "subprocess.Popen[bytes]":
        """Start the program as a process."""
        command = [sys.executable, "-m", "dead_letter.cli", *self.options, *words]
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **self.environment}, **pipes)

    def with_broker(self, work: Callable[[Broker], Coroutine[Any, Any, T]]) -> T:
        """Call this with a broker that is closed afterwards."""

        async def opened() -> T:
            async with self._broker() as broker:
                return await work(broker)

        return asyncio.run(opened())

    def entries(self) -> list[Entry]:
        """Return all entries of the ledger."""
        return self.with_broker(entries_of)

    def open(self) -> list[Dead]:
        """Return the open letters, oldest first."""
        return list(open_letters(self.entries()).values())

    def die(self, *names: str) -> list[Dead]:
        """Let events of these names be deferred, fail and become dead letters, in this order. Return all open
        letters."""
        return self.kill(*map(an_event, names))

    def kill(self, *events: Event, error: Error = TIMEOUT) -> list[Dead]:
        """Let these events be deferred, fail and become dead letters, in this order. Return all open letters."""

        async def kill(broker: Broker) -> None:
            await broker.declare(QUEUES)
            consumer = await consuming(broker, "mail", "default")
            publisher = broker.publisher()
            for event in events:
                await publisher.publish(event)
                delivery = await take(consumer)
                await delivery.dead_letter(_letter(delivery, error))
            await consumer.close()

        self.with_broker(kill)
        return self.open()

    def delivered(self, queue: str, count: int) -> list[Delivery]:
        """Return the next `count` deliveries of a queue to a worker."""

        async def consume(broker: Broker) -> list[Delivery]:
            consumer = await consuming(broker, queue, prefetch=100)
            deliveries = [await take(consumer) for _ in range(count)]
            for delivery in deliveries:
                await delivery.ack()
            await consumer.close()
            return deliveries

        return self.with_broker(consume)

    @asynccontextmanager
    async def _broker(self) -> AsyncIterator[Broker]:
        broker = open_broker(self.site.url, self.site.namespace)
        try:
            yield broker
        finally:
            await broker.close()


def shown_until(terminal: int, text: str | None, patience: float = PATIENCE) -> str:
    """Return a terminal's output until it contains the text; without a text, until the terminal is closed."""
    seen = b""
    deadline = time.monotonic() + patience
    while text is None or text not in seen.decode(errors="replace"):
        assert select.select([terminal], [], [], deadline - time.monotonic())[0], seen
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            part = b""
        if not part:
            break
        seen += part
    return seen.decode(errors="replace")


def _letter(delivery: Delivery, error: Error) -> Letter:
    attempt = Attempt(1, 1, now(), 0.25, "Failed", "v42", error)
    tried = delivery.envelope._replace(spent=1).remember(attempt)
    transcript = Transcript({"PATH_INFO": "/_bridge"}, 500, {"x-served-by": "web-3"}, "<h1>Oops</h1>", "a warning")
    return Letter(now(), delivery.queue, "attempts used up", tried, error, transcript)
