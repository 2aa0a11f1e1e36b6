"""A broker whose answer a test can change, spools, and publishers with a spool."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from bridge.brokers.contract.publishing import Answered, Post, Withdraw
from bridge.deadline import Deadline
from bridge.errors import BrokerUnavailable, DeferForbidden, DeferRejected, DeferUnconfirmed, TooLarge, Unroutable
from bridge.event import Event
from bridge.moments import Tell, tell_nobody
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.spool.spool_file import SpoolFile
from bridge.publishing.spool.store import Store
from bridge.publishing.spool.summary import spooled
from bridge.publishing.spooling_publisher import SpoolingPublisher
from bridge.queues import Queue
from tests.deadlines import within
from tests.events import new_event
from tests.limits import PATIENCE
from tests.unit.app_adapter.doubles import FakeBroker

Answer = Literal["confirm", "silence", "away", "gone", "full", "unroutable", "nowhere", "too large", "forbidden"]
"""`silence` and `away` answer only at the event's deadline; `gone` fails at once."""

BUDGET, AMPLE = 1.0, 20.0
ROOM = 1024**3


class SwitchedBroker(FakeBroker):
    """A broker that answers every event as `answer` says, or by the event's name as `answers` says. It notes the events
    that it has taken. If it `posts`, it publishes without waiting, too."""

    name = "the test's broker"
    posts = False
    slow: Collection[str] = ()
    """Names of events that it does not publish without waiting."""

    def __init__(self, answer: Answer = "confirm") -> None:
        super().__init__()
        self.answer: Answer = answer
        self.answers: dict[str, Answer] = {}
        self.taken: list[tuple[Event, datetime | None]] = []
        self.unconfirmed: list[Event] = []
        self.tries = 0
        self.posted: list[asyncio.Task[None]] = []
        self.withdrawn: list[Event] = []
        self.before_answer: Callable[[], None] = lambda: None

    @property
    def numbers(self) -> list[object]:
        """The payloads of the taken events, in order."""
        return [json.loads(event.data) for event, _ in self.taken]

    async def prepare(self, queues: Sequence[Queue]) -> None:
        if self.answer == "away":
            raise BrokerUnavailable("connection refused")

    async def publish(
        self,
        event: Event,
        due: datetime | None = None,
        *,
        deadline: Deadline | None = None,
        within: timedelta | None = None,
    ) -> None:
        self.tries += 1
        self.at_a_time += 1
        self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
        try:
            await self._answer(event, due, 0.0 if deadline is None else deadline.remaining(time.monotonic()))
        finally:
            self.at_a_time -= 1

    def at_once(self, event: Event, due: datetime | None = None, *, deadline: Deadline) -> Post | None:
        if not self.posts or event.name in self.slow:
            return None

        async def publish(answered: Answered) -> None:
            try:
                await self.publish(event, due, deadline=deadline)
            except Exception as error:
                answered(error)
            else:
                answered(None)

        def post(answered: Answered) -> Withdraw:
            task = asyncio.create_task(publish(answered))
            self.posted.append(task)
            return lambda: self.withdrawn.append(event)

        return post

    async def _answer(self, event: Event, due: datetime | None, seconds: float) -> None:
        match self.answers.get(event.name, self.answer):
            case "silence":
                self.unconfirmed.append(event)
                await asyncio.sleep(seconds)
                raise DeferUnconfirmed(event.id, "written, not confirmed")
            case "away":
                await asyncio.sleep(seconds)
                raise BrokerUnavailable("not published")
            case "gone":
                raise BrokerUnavailable("not published")
            case "full":
                raise DeferRejected("a full queue")
            case "forbidden":
                raise DeferForbidden("access refused")
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
    """Return an event with this number as its payload."""
    return new_event(name, json.dumps(number).encode())


@asynccontextmanager
async def spooling(
    broker: SwitchedBroker, file: SpoolFile, tell: Tell = tell_nobody
) -> AsyncIterator[SpoolingPublisher]:
    """Yield a publisher to the broker, with this spool."""
    publisher = SpoolingPublisher(LazyPublisher(lambda: broker, (Queue("default"),)), file, tell)
    try:
        yield publisher
    finally:
        await publisher.close()


def a_spool(directory: Path, limit: int = ROOM) -> SpoolFile:
    """Return a spool in this directory."""
    return SpoolFile(directory / "spool.db", limit, "bridge")


async def fill(file: SpoolFile, events: int, name: str = "order.paid", start: int = 0) -> None:
    """Leave events in the spool, as a process does that has ended."""
    store = Store(file)
    await asyncio.gather(
        *(store.add(an_event(number, name), None, within(PATIENCE)) for number in range(start, start + events))
    )
    await store.close()


def count(file: SpoolFile) -> int:
    """Return the number of events in the spool."""
    return spooled(file.path, file.namespace).events


async def until(holds: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.005)


def in_namespace(file: SpoolFile, namespace: str) -> SpoolFile:
    """Return the same file, for the events of another namespace."""
    return replace(file, namespace=namespace)
