"""Doubles of a broker's consumer and of a slot, for faults that a real broker does not have on demand."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bridge.brokers.contract.consuming import Backlog
from bridge.envelope import Envelope
from bridge.ledger import Letter
from bridge.outcome import Exchange, Reply
from tests.unit.bridge.examples import envelope
from worker.slots.slot import NotTaken, Request, Run

DELIVERED = Reply(200, {"bridge-outcome": "delivered"})
FAILED = Reply(500, {"bridge-outcome": "failed"})
REJECTED = Reply(422, {"bridge-outcome": "reject"})


@dataclass(eq=False)
class FakeDelivery:
    """A delivery that records the calls of its verbs. `faults` are raised first, one for each call."""

    token: str = "m1"
    redelivered: bool = False
    lost: bool = False
    envelope: Envelope = field(default_factory=envelope)
    queue: str = "default"
    faults: list[Exception] = field(default_factory=list)
    verbs: list[Any] = field(default_factory=list)

    async def ack(self) -> None:
        self._call("ack")

    async def retry(self, envelope: Envelope, wait: timedelta) -> None:
        self._call((envelope, wait))

    async def dead_letter(self, letter: Letter) -> None:
        self._call(letter)

    async def give_back(self) -> None:
        self._call("give_back")

    def _call(self, verb: object) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.verbs.append(verb)


class FakeBroker:
    """A consumer that hands out the deliveries that a test puts into it."""

    def __init__(self) -> None:
        self.deliveries: asyncio.Queue[FakeDelivery] = asyncio.Queue()
        self.counts: Mapping[str, Backlog] = {}
        self.live: frozenset[str] = frozenset()
        self.trouble = ""
        self.breaks = 0
        self.prefetch: Mapping[str, int] = {}
        self.held: Mapping[str, int] = {}

    async def start(self, prefetch: Mapping[str, int]) -> None:
        self.prefetch = prefetch

    async def adjust(self, prefetch: Mapping[str, int]) -> None:
        self.prefetch = prefetch

    async def receive(self) -> FakeDelivery:
        return await self.deliveries.get()

    async def stop(self) -> None:
        """Do nothing."""

    async def backlog(self) -> Mapping[str, Backlog]:
        return self.counts

    async def close(self) -> None:
        """Do nothing."""


class FakeSlot:
    """A slot whose exchanges a test answers. `requests` has the requests that the slot was sent."""

    usable = True
    at_a_time = 1

    def __init__(self) -> None:
        self.pid: int | None = None
        self.requests: list[Request] = []
        self.deadlines: list[float] = []
        self.asked: asyncio.Queue[asyncio.Future[Exchange | NotTaken]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    @property
    def room(self) -> int:
        return int(self.usable and self._task is None)

    def begin(self, run: Run) -> None:
        self._task = asyncio.create_task(self._run(run))

    def recall(self) -> Sequence[Run]:
        return ()

    def abandon(self, run: Run) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def exchange(self, request: Request, deadline: float) -> Exchange | NotTaken:
        self.requests.append(request)
        self.deadlines.append(deadline)
        answer: asyncio.Future[Exchange | NotTaken] = asyncio.get_running_loop().create_future()
        self.asked.put_nowait(answer)
        return await answer

    def interrupt(self, run: Run) -> None:
        """Do nothing."""

    async def _run(self, run: Run) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            exchange = await self.exchange(run.request, run.deadline)
        except Exception as error:
            self._task = None
            run.line.failed(run, error)
        else:
            self._task = None
            run.line.ended(run, exchange, clock() - began)

    async def answer(self, exchange: Exchange | NotTaken) -> None:
        """Wait for the next request, and end it with this exchange."""
        (await self.asked.get()).set_result(exchange)
