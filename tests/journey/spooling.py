"""Processes that defer with `publish = "spool"`. Each reads one line for each event, and prints the result."""

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
from bridge.publishing.spool.summary import spooled
from bridge.queues import Queue
from tests.journey.site import Site
from tests.limits import PATIENCE

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
    """The result of a `defer()`: the error that it raised, if any, and its duration in seconds."""

    error: str
    seconds: float


class Deferring:
    """A process that defers."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """The log of the process so far."""
        return self._log.read_text()

    def begin(self, number: int, name: str = "do.this", **options: float) -> None:
        """Let the process defer an event with this number as its payload; do not wait for the result."""
        assert self.process.stdin is not None
        print(json.dumps([name, number, options]), file=self.process.stdin, flush=True)

    def answer(self) -> Deferral:
        """Wait for the result of the earliest `begin`."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log
        return Deferral(*json.loads(line))

    def defer(self, number: int, name: str = "do.this", **options: float) -> Deferral:
        """Let the process defer an event, and wait for the result."""
        self.begin(number, name, **options)
        return self.answer()


@contextmanager
def deferring(site: Site, program: str = _PROGRAM, **environment: str) -> Iterator[Deferring]:
    """Run such a process on the site, and wait at the end of the `with` block until it has ended."""
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
    """Return the number of events in the site's spool."""
    return spooled(site.directory / SPOOL, site.namespace).events


async def arrived(site: Site, expected: int) -> list[int]:
    """Take all events out of the site's queue; return their numbers in order. Wait for `expected` events, and then
    0.3 s for further ones, which should not exist."""
    broker = open_broker(site.broker_url, site.namespace)
    await broker.declare((Queue("default"),))
    consumer = broker.consumer()
    await consumer.start({"default": 100})
    numbers: list[int] = []
    try:
        while True:
            async with asyncio.timeout(PATIENCE if len(numbers) < expected else 0.3):
                delivery = await consumer.receive()
            numbers.append(json.loads(delivery.envelope.event.data))
            await delivery.ack()
    except TimeoutError:
        return numbers
    finally:
        await broker.close()
