"""Doubles of a broker's consumer and of a slot, for faults that a real broker cannot be made to have on demand."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bridge.brokers.contract import Backlog
from bridge.envelope import Envelope
from bridge.ledger import Letter
from bridge.outcome import Exchange, Reply
from tests.unit.bridge.examples import envelope

DELIVERED = Reply(200, {"bridge-outcome": "delivered"})
FAILED = Reply(500, {"bridge-outcome": "failed"})
REJECTED = Reply(422, {"bridge-outcome": "reject"})


@dataclass(eq=False)
class FakeDelivery:
    """A delivery that records its verbs. `faults` are raised first, one a call."""

    token: str = "m1"
    redelivered: bool = False
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
    """A consumer that hands out what a test puts into it."""

    def __init__(self) -> None:
        self.deliveries: asyncio.Queue[FakeDelivery] = asyncio.Queue()
        self.counts: Mapping[str, Backlog] = {}
        self.live: frozenset[str] = frozenset()
        self.trouble = ""

    async def start(self, prefetch: Mapping[str, int]) -> None:
        """Nothing to start."""

    async def adjust(self, prefetch: Mapping[str, int]) -> None:
        """Nothing to adjust."""

    async def receive(self) -> FakeDelivery:
        return await self.deliveries.get()

    async def stop(self) -> None:
        """Nothing to stop."""

    async def backlog(self) -> Mapping[str, Backlog]:
        return self.counts

    async def close(self) -> None:
        """Nothing to close."""


class FakeSlot:
    """A slot whose exchanges a test answers."""

    def __init__(self) -> None:
        self.usable = True
        self.asked: asyncio.Queue[asyncio.Future[Exchange]] = asyncio.Queue()

    async def exchange(self, parameters: dict[str, str], body: bytes, deadline: float) -> Exchange:
        answer: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()
        self.asked.put_nowait(answer)
        return await answer

    async def answer(self, exchange: Exchange) -> None:
        """Wait for the next exchange, and let it come to this."""
        (await self.asked.get()).set_result(exchange)
