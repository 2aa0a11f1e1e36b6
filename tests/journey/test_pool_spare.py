"""A warm spare takes the slot of a lost child at once."""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable

import pytest

from tests.journey.pool_site import PoolSite
from tests.journey.site import Program, eventually

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)

KILLS = 8
STEP = "sleep:0.05"


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["own boot", "preload"])
async def test_a_spare_takes_the_place_of_a_child_that_is_killed(
    pool: PoolSite, options: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    """The spare that was warm before the kill runs the next event, and a new spare boots."""
    await pool.site.defer("do.this", STEP, count=6000)  # for five minutes
    worker = pool.worker("--children", "1", *options)
    gaps = []
    for _ in range(KILLS):
        await eventually(lambda: bool(pool.pids("spare")), report=lambda: worker.log)
        gaps.append(await _kill(pool, worker))
    milliseconds = sorted(round(gap * 1000, 1) for gap in gaps)
    record_property("milliseconds from SIGKILL to the next event in the slot", milliseconds)
    print(f"SIGKILL to the slot's next event: p50 {statistics.median(milliseconds)} ms, worst {milliseconds[-1]} ms")


async def _kill(pool: PoolSite, worker: Program) -> float:
    (spare,) = pool.pids("spare")
    (seated,) = pool.pids("busy", "idle")
    killed = time.time()
    os.kill(seated, signal.SIGKILL)
    await eventually(lambda: any(effect.at > killed for effect in pool.site.effects(pid=spare, step=STEP)))
    return min(effect.at for effect in pool.site.effects(step=STEP) if effect.at > killed) - killed


async def test_a_spare_that_is_killed_is_replaced(pool: PoolSite) -> None:
    """A killed spare is replaced, and does not count as a restart of a slot."""
    worker = pool.worker()
    await eventually(lambda: bool(pool.pids("spare")), report=lambda: worker.log)
    before = pool.pids("spare")
    os.kill(min(before), signal.SIGKILL)
    await eventually(lambda: bool(pool.pids("spare") - before), report=lambda: worker.log)
    assert len(pool.pids("idle")) == 2
    assert [slot["restarts"] for slot in pool.slots("idle")] == [0, 0]


async def test_spare_0_boots_no_spare(pool: PoolSite) -> None:
    """With `--spare 0` the pool has only its children."""
    worker = pool.worker("--spare", "0")
    await worker.says("ready for events")
    await asyncio.sleep(1)
    assert len(worker.children) == 2
