"""A broker that behaves as a test says. It has only the methods that a publishing thread uses."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import cast

from bridge.brokers.contract.broadcast import Broadcast
from bridge.brokers.contract.calling import Caller, CallServer
from bridge.brokers.contract.claims import Claim
from bridge.brokers.contract.consuming import Consumer
from bridge.brokers.contract.ledger import Ledger
from bridge.brokers.contract.logs import Log
from bridge.brokers.contract.mailboxes import Mailboxes
from bridge.brokers.contract.operating import QueueOperator
from bridge.brokers.contract.publishing import Post
from bridge.deadline import Deadline
from bridge.envelope import Envelope
from bridge.event import Event
from bridge.logs import KEEP_ALL, Content, Retention
from bridge.queues import Queue

Verb = Callable[[], Awaitable[None]]


async def succeed() -> None:
    """Succeed."""


class FakeBroker:
    """A broker whose `declaring` and `publishing` are functions of the test. It notes the calls and their threads."""

    name = "a fake broker"
    trouble = ""

    def __init__(self, declaring: Verb = succeed, publishing: Verb = succeed, closing: Verb = succeed) -> None:
        self.declaring = declaring
        self.publishing = publishing
        self.closing = closing
        self.declared: list[Sequence[Queue]] = []
        self.published: list[tuple[Event, datetime | None, Deadline | None]] = []
        self.publishers = 0
        self.at_a_time = 0
        self.most_at_a_time = 0
        self.threads: set[str] = set()
        self.logs: list[FakeLog] = []

    async def declare(self, queues: Sequence[Queue]) -> None:
        raise NotImplementedError

    async def prepare(self, queues: Sequence[Queue]) -> None:
        self.declared.append(queues)
        await self.declaring()

    async def ready(self, deadline: Deadline) -> None:
        """Return at once."""

    def publisher(self) -> "FakeBroker":
        self.publishers += 1
        return self

    async def publish(
        self,
        event: Event,
        due: datetime | None = None,
        *,
        deadline: Deadline | None = None,
        within: timedelta | None = None,
    ) -> None:
        self.threads.add(threading.current_thread().name)
        self.at_a_time += 1
        self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
        try:
            await self.publishing()
        finally:
            self.at_a_time -= 1
        self.published.append((event, due, deadline))

    def at_once(self, event: Event, due: datetime | None = None, *, deadline: Deadline) -> Post | None:
        """Publish nothing without waiting."""
        return None

    async def close(self) -> None:
        await self.closing()

    def consumer(self) -> Consumer:
        raise NotImplementedError

    def ledger(self) -> Ledger:
        raise NotImplementedError

    async def put(
        self, envelope: Envelope, queue: str, due: datetime | None = None, *, deadline: Deadline | None = None
    ) -> None:
        raise NotImplementedError

    def log(self, name: str, retention: Retention = KEEP_ALL) -> Log:
        self.logs.append(FakeLog(name, self.publishing))
        return cast(Log, self.logs[-1])

    def claim(self, name: str) -> AbstractAsyncContextManager[Claim]:
        raise NotImplementedError

    def operator(self) -> QueueOperator:
        raise NotImplementedError

    def mailboxes(self) -> Mailboxes:
        raise NotImplementedError

    def broadcast(self, subject: str) -> Broadcast:
        raise NotImplementedError

    def caller(self) -> Caller:
        raise NotImplementedError

    def call_server(self) -> CallServer:
        raise NotImplementedError


class FakeLog:
    """A log that can only be appended to."""

    def __init__(self, name: str, appending: Verb) -> None:
        self.name = name
        self.records: list[Content] = []
        self._appending = appending

    async def append(self, content: Content, *, deadline: Deadline | None = None) -> None:
        """Append a record when `appending` returns."""
        await self._appending()
        self.records.append(content)


async def for_ever() -> None:
    """Never return."""
    await asyncio.Event().wait()


def raising(*errors: Exception) -> Verb:
    """Return a verb that raises these exceptions, one at each call, and then succeeds."""
    left = list(errors)

    async def verb() -> None:
        if left:
            raise left.pop(0)

    return verb
