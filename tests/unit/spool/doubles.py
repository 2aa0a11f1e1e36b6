"""A broker whose answer a test can change, and spools before it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from bridge.brokers.contract import WITHIN
from bridge.brokers.declared import DeclaredPublisher
from bridge.brokers.spool.publisher import SpoolingPublisher
from bridge.brokers.spool.reading import spooled
from bridge.brokers.spool.spool_file import SpoolFile
from bridge.brokers.spool.store import Store
from bridge.errors import BrokerUnavailable, DeferRejected, DeferUnconfirmed, TooLarge, Unroutable
from bridge.event import Event
from bridge.queues import Queue
from tests.events import new_event
from tests.unit.app_adapter.doubles import FakeBroker

Answer = Literal["confirm", "silence", "away", "gone", "full", "unroutable", "nowhere", "too large"]
"""Silent and away it takes all the time that an event has; gone it says so at once."""

BUDGET, AMPLE = 1.0, 20.0
ROOM = 1024**3


class SwitchedBroker(FakeBroker):
    """It answers as `answer` says, or as `answers` says for an event of that name, and notes what it has taken."""

    name = "the test's broker"

    def __init__(self, answer: Answer = "confirm") -> None:
        super().__init__()
        self.answer: Answer = answer
        self.answers: dict[str, Answer] = {}
        self.taken: list[tuple[Event, datetime | None]] = []
        self.unconfirmed: list[Event] = []
        self.tries = 0
        self.before_answer: Callable[[], None] = lambda: None

    @property
    def numbers(self) -> list[object]:
        """The payloads of what it has taken, in order."""
        return [json.loads(event.data) for event, _ in self.taken]

    async def declare(self, queues: Sequence[Queue]) -> None:
        if self.answer == "away":
            raise BrokerUnavailable("connection refused")

    async def publish(self, event: Event, due: datetime | None = None, *, within: float = WITHIN) -> None:
        self.tries += 1
        self.at_a_time += 1
        self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
        try:
            await self._answer(event, due, within)
        finally:
            self.at_a_time -= 1

    async def _answer(self, event: Event, due: datetime | None, within: float) -> None:
        match self.answers.get(event.name, self.answer):
            case "silence":
                self.unconfirmed.append(event)
                await asyncio.sleep(within)
                raise DeferUnconfirmed(event.id, "written, not confirmed")
            case "away":
                await asyncio.sleep(within)
                raise BrokerUnavailable("not published")
            case "gone":
                raise BrokerUnavailable("not published")
            case "full":
                raise DeferRejected("a full queue")
            case "too large":
                raise TooLarge("the broker takes less")
            case "unroutable" if due is None:
                raise Unroutable("no queue takes it")
            case "nowhere":
                raise Unroutable("no queue takes it, now or later")
        await asyncio.sleep(0)
        self.before_answer()
        self.taken.append((event, due))


def an_event(number: int = 0, name: str = "order.paid") -> Event:
    """An event with this number for its payload."""
    return new_event(name, json.dumps(number).encode())


@asynccontextmanager
async def spooling(broker: SwitchedBroker, file: SpoolFile) -> AsyncIterator[SpoolingPublisher]:
    """A publisher to the broker with this spool."""
    publisher = SpoolingPublisher(DeclaredPublisher(lambda: broker, (Queue("default"),)), file)
    try:
        yield publisher
    finally:
        await publisher.close()


def a_spool(directory: Path, limit: int = ROOM) -> SpoolFile:
    """A spool in this directory."""
    return SpoolFile(directory / "spool.db", limit, "bridge")


async def fill(file: SpoolFile, events: int, name: str = "order.paid", start: int = 0) -> None:
    """Leave events in the spool, as a process does that has ended."""
    store = Store(file)
    await asyncio.gather(*(store.add(an_event(number, name), None, 10.0) for number in range(start, start + events)))
    await store.close()


def count(file: SpoolFile) -> int:
    """How many events are in it."""
    return spooled(file.path, file.namespace).events


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


def in_namespace(file: SpoolFile, namespace: str) -> SpoolFile:
    """The same file, for the events of another namespace."""
    return replace(file, namespace=namespace)
