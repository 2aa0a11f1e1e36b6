"""A broker that does what a test tells it. Of a broker it has what a publishing thread uses, and no more."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from bridge.brokers.contract import WITHIN, Consumer, Ledger
from bridge.envelope import Envelope
from bridge.event import Event
from bridge.queues import Queue

Verb = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """Succeed."""


class FakeBroker:
    """A broker whose `declaring` and `publishing` are the test's own. It notes what was called, and in which thread."""

    name = "a fake broker"

    def __init__(self, declaring: Verb = at_once, publishing: Verb = at_once, closing: Verb = at_once) -> None:
        self.declaring = declaring
        self.publishing = publishing
        self.closing = closing
        self.declared: list[Sequence[Queue]] = []
        self.published: list[tuple[Event, datetime | None, float]] = []
        self.publishers = 0
        self.at_a_time = 0
        self.most_at_a_time = 0
        self.threads: set[str] = set()

    async def declare(self, queues: Sequence[Queue]) -> None:
        self.declared.append(queues)
        await self.declaring()

    def publisher(self) -> "FakeBroker":
        self.publishers += 1
        return self

    async def publish(self, event: Event, due: datetime | None = None, *, within: float = WITHIN) -> None:
        self.threads.add(threading.current_thread().name)
        self.at_a_time += 1
        self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
        try:
            await self.publishing()
        finally:
            self.at_a_time -= 1
        self.published.append((event, due, within))

    async def close(self) -> None:
        await self.closing()

    def consumer(self) -> Consumer:
        raise NotImplementedError

    def ledger(self) -> Ledger:
        raise NotImplementedError

    async def put(self, envelope: Envelope, queue: str, due: datetime | None = None, *, within: float = WITHIN) -> None:
        raise NotImplementedError


async def for_ever() -> None:
    """Never return."""
    await asyncio.Event().wait()


def raising(*errors: Exception) -> Verb:
    """Return a verb that raises these, one at each call, and then succeeds."""
    left = list(errors)

    async def verb() -> None:
        if left:
            raise left.pop(0)

    return verb
