"""Processes that defer with `publish = "spool"`, each told line by line what to defer, and what has become of it."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.brokers.opening import open_broker
from bridge.brokers.spool.reading import spooled
from bridge.queues import Queue
from tests.journey.site import Site

TIMEOUT = 2.0
SPOOL = "spool.db"

_PROGRAM = """
    import json, logging, sys, time
    from app_adapter import DeferError
    from behaving import events

    logging.basicConfig(level=logging.INFO)
    for line in sys.stdin:
        name, number, options = json.loads(line)
        began = time.monotonic()
        try:
            events.defer(name, number, **options)
            error = ""
        except DeferError as raised:
            error = f"{type(raised).__name__}: {raised}"
        print(json.dumps([error, time.monotonic() - began]), flush=True)
"""


@dataclass(frozen=True)
class Deferral:
    """What a `defer()` came to: what it raised, if anything, and how many seconds it took."""

    error: str
    seconds: float


class Deferring:
    """A process that defers."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text()

    def begin(self, number: int, name: str = "do.this", **options: float) -> None:
        """Let it defer an event with this number for its payload."""
        assert self.process.stdin is not None
        print(json.dumps([name, number, options]), file=self.process.stdin, flush=True)

    def answer(self) -> Deferral:
        """Wait for what came of it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log
        return Deferral(*json.loads(line))

    def defer(self, number: int, name: str = "do.this", **options: float) -> Deferral:
        """Let it defer one, and wait for what comes of it."""
        self.begin(number, name, **options)
        return self.answer()


@contextmanager
def deferring(site: Site, program: str = _PROGRAM, **environment: str) -> Iterator[Deferring]:
    """Run such a process on the site; at the end, wait for its own."""
    log = site.directory / f"deferring-{os.urandom(4).hex()}.log"
    settings = {"BRIDGE_PUBLISH": "spool", "BRIDGE_SPOOL": SPOOL, "BRIDGE_PUBLISH_TIMEOUT": f"{TIMEOUT:g}s"}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            cwd=site.directory,
            env=os.environ | site.environment | settings | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        yield Deferring(process, log)


def held(site: Site) -> int:
    """How many events the site's spool holds."""
    return spooled(site.directory / SPOOL, site.namespace).events


async def arrived(site: Site, expected: int) -> list[int]:
    """Take all events out of the site's queue, and return their numbers in order; wait for so many of them, and a
    moment for what should not be there."""
    broker = open_broker(site.broker_url, site.namespace)
    await broker.declare((Queue("default"),))
    consumer = broker.consumer()
    await consumer.start({"default": 100})
    numbers: list[int] = []
    try:
        while True:
            async with asyncio.timeout(20.0 if len(numbers) < expected else 0.3):
                delivery = await consumer.receive()
            numbers.append(json.loads(delivery.envelope.event.data))
            await delivery.ack()
    except TimeoutError:
        return numbers
    finally:
        await broker.close()
