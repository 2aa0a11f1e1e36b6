"""When a worker ends by itself, as the readings of its queues say."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest

from bridge.brokers.contract import Backlog
from bridge.errors import BrokerUnavailable
from worker.until import AGREED_FOR, Until, reached

EMPTY, WAITING, READY = Backlog(0, 0, 0), Backlog(0, 0, 1), Backlog(1, 0, 0)


@dataclass
class Readings:
    """A broker whose queue holds something up to a second, then something else; and a worker that runs nothing."""

    story: list[tuple[float, Backlog | None]]
    running: int = 0
    taken: int = 0

    def __post_init__(self) -> None:
        self.began = asyncio.get_running_loop().time()

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return asyncio.get_running_loop().time() - self.began

    async def backlog(self) -> Mapping[str, Backlog]:
        """What it holds now; None in the story is a broker that is away."""
        backlog = next(backlog for end, backlog in self.story if self.elapsed < end)
        if backlog is None:
            raise BrokerUnavailable("away")
        return {"default": backlog}


async def until_reached(until: Until, readings: Readings) -> str:
    """Wait for the end."""
    async with asyncio.timeout(5):
        return await reached(until, cast(Any, readings), cast(Any, readings), ["default"])


@pytest.mark.parametrize("gap", [WAITING, READY, None])
async def test_one_reading_that_says_empty_is_not_believed(gap: Backlog | None) -> None:
    """A message between two levels of the ladder is counted nowhere: readings must agree for a time, from anew after
    each that does not, or that could not be made."""
    readings = Readings([(0.3, EMPTY), (0.6, gap), (9, EMPTY)])
    assert await until_reached(Until(settled=True), readings) == "the queues are empty"
    assert readings.elapsed >= 0.6 + AGREED_FOR


async def test_empty_counts_what_waits_and_does_not_await_it() -> None:
    """Only ready and running keep it."""
    readings = Readings([(9, WAITING)])
    assert await until_reached(Until(empty=True), readings) == "the queues are empty; 1 wait for their time"
    assert readings.elapsed >= AGREED_FOR


async def test_what_is_taken_begins_the_time_anew() -> None:
    """An event came and went between two readings."""
    readings = Readings([(9, EMPTY)])
    ending = asyncio.create_task(until_reached(Until(settled=True), readings))
    await asyncio.wait({ending}, timeout=0.4)
    readings.taken += 1
    await ending
    assert readings.elapsed >= 0.4 + AGREED_FOR


async def test_idle_ends_after_its_seconds_whatever_waits() -> None:
    """Nothing was begun for that long."""
    assert await until_reached(Until(idle=0.3), Readings([(9, WAITING)])) == "idle for 0.3 s"
