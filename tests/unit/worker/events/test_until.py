"""The conditions under which a worker ends by itself, and readings of its queues."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest

from bridge.brokers.contract.consuming import Backlog
from bridge.errors import BrokerUnavailable
from tests.limits import PATIENCE
from worker.events import until as until_module
from worker.events.until import AGREED_FOR, Until, reached

EMPTY, WAITING, READY = Backlog(0, 0, 0), Backlog(0, 0, 1), Backlog(1, 0, 0)


@dataclass
class Readings:
    """A broker and a worker that runs no event. `story` has what the queue holds, each until some seconds have passed;
    None is a broker that cannot be reached."""

    story: list[tuple[float, Backlog | None]]
    running: int = 0
    taken: int = 0

    def __post_init__(self) -> None:
        self.began = asyncio.get_running_loop().time()

    @property
    def elapsed(self) -> float:
        """Seconds since the story began."""
        return asyncio.get_running_loop().time() - self.began

    @property
    def trouble(self) -> str:
        """The reason why the broker cannot be reached now."""
        return "away" if self._now() is None else ""

    def _now(self) -> Backlog | None:
        return next(backlog for end, backlog in self.story if self.elapsed < end)

    async def backlog(self) -> Mapping[str, Backlog]:
        """Return what the queue holds now."""
        backlog = self._now()
        if backlog is None:
            raise BrokerUnavailable("away")
        return {"default": backlog}


async def until_reached(until: Until, readings: Readings) -> str:
    """Return the reason why the worker ends."""
    async with asyncio.timeout(PATIENCE):
        return await reached(until, cast(Any, readings), cast(Any, readings), ["default"])


@pytest.mark.parametrize("gap", [WAITING, READY])
async def test_one_reading_of_an_empty_queue_is_not_enough(gap: Backlog) -> None:
    """A message between two levels of the delay ladder is counted nowhere. So readings must agree for a time, which
    begins again after a reading that differs."""
    readings = Readings([(0.3, EMPTY), (0.6, gap), (9, EMPTY)])
    assert await until_reached(Until(settled=True), readings) == "the queues are empty"
    assert readings.elapsed >= 0.6 + AGREED_FOR


async def test_a_broker_that_has_just_come_back_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ says that a queue without a leader is empty, as it is for some seconds after the start of a node."""
    monkeypatch.setattr(until_module, "DOUBTED_FOR", 1.0)
    readings = Readings([(0.3, None), (9, EMPTY)])
    assert await until_reached(Until(settled=True), readings) == "the queues are empty"
    assert readings.elapsed >= 0.2 + 1.0 + AGREED_FOR


async def test_until_empty_reports_waiting_events_and_does_not_wait_for_them() -> None:
    """Only ready and running events keep the worker from ending."""
    readings = Readings([(9, WAITING)])
    assert await until_reached(Until(empty=True), readings) == "the queues are empty; 1 wait for their time"
    assert readings.elapsed >= AGREED_FOR


async def test_an_event_between_two_readings_restarts_the_time() -> None:
    """The event was taken and settled between them."""
    readings = Readings([(9, EMPTY)])
    ending = asyncio.create_task(until_reached(Until(settled=True), readings))
    await asyncio.wait({ending}, timeout=0.4)
    readings.taken += 1
    await ending
    assert readings.elapsed >= 0.4 + AGREED_FOR


async def test_idle_ends_the_worker_although_events_wait_for_their_time() -> None:
    """No event was taken for that many seconds."""
    assert await until_reached(Until(idle=0.3), Readings([(9, WAITING)])) == "idle for 0.3 s"
