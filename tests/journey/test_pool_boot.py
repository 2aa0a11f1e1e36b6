"""Children get no event before their warm-up. The pool boots children that fail or die early again, with back-off."""

import asyncio
import os
import signal

import pytest

from tests.journey.pool_site import PoolSite
from tests.journey.site import eventually

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["own boot", "preload"])
async def test_each_child_is_warm_before_its_first_event(pool: PoolSite, options: tuple[str, ...]) -> None:
    """The `on_warmup` functions run once in each child, before its first event."""
    await pool.site.defer("do.this", "sleep:0.1", count=10)
    worker = pool.worker(*options)
    await eventually(lambda: len(pool.site.effects(began=False)) == 10, report=lambda: worker.log)
    steps: dict[int, list[str]] = {}
    for effect in pool.site.effects():
        steps.setdefault(effect.pid, []).append(effect.step)
    assert len([pid for pid in steps if len(steps[pid]) > 1]) == 2
    assert all(of_child[0] == "warm" and of_child.count("warm") == 1 for of_child in steps.values())
    assert "booted and warm after" in worker.log


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["own boot", "preload"])
@pytest.mark.parametrize("fault", ["broken", "cold"])
async def test_a_child_that_cannot_boot_stops_the_start(pool: PoolSite, fault: str, options: tuple[str, ...]) -> None:
    """If the import or the warm-up fails, the worker ends with exit code 4 and the traceback, and leaves no process."""
    pool.put(fault, "the cache is not there")
    worker = pool.worker(*options)
    assert await worker.ended() == 4, worker.log
    assert "the cache is not there" in worker.log
    assert "Traceback" in worker.log
    assert not pool.site.processes


async def test_a_child_that_cannot_boot_later_is_tried_again_and_the_others_work(pool: PoolSite) -> None:
    """The waits between the boots grow. After the app is repaired, the pool has all its children again."""
    worker = pool.worker("--spare", "0")
    await eventually(lambda: len(pool.pids("idle")) == 2, report=lambda: worker.log)
    pool.put("broken", "half a deployment")
    os.kill(min(pool.pids("idle")), signal.SIGKILL)
    await worker.says("half a deployment")
    await pool.site.defer("do.this", "ok", count=5)
    await eventually(lambda: len(pool.site.effects(began=False, step="ok")) == 5, report=lambda: worker.log)
    await eventually(lambda: worker.log.count("tried again in") >= 3, report=lambda: worker.log)
    waits = [float(line.split(" s")[0]) for line in worker.log.split("tried again in ")[1:]]
    assert waits[2] > waits[0]
    assert "half a deployment" in pool.asked().stdout
    pool.remove("broken")
    await eventually(lambda: len(pool.pids("idle")) == 2, report=lambda: worker.log)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0


async def test_children_that_die_after_their_warm_up_boot_with_back_off(pool: PoolSite) -> None:
    """Useless boots do not keep the machine busy. After the app is repaired, the pool has all its children again."""
    worker = pool.worker()
    await eventually(lambda: len(pool.pids("idle", "spare")) == 3, report=lambda: worker.log)
    pool.put("dying", "")
    for child in pool.pids("idle", "spare"):
        os.kill(child, signal.SIGKILL)
    await eventually(lambda: worker.log.count("exit status 7") >= 2, report=lambda: worker.log)
    before = len(pool.site.effects(step="warm"))
    await asyncio.sleep(4)
    assert len(pool.site.effects(step="warm")) - before <= 6, worker.log
    pool.remove("dying")
    await eventually(lambda: len(pool.pids("idle")) == 2, report=lambda: worker.log)


async def test_a_boot_that_takes_too_long_is_given_up(pool: PoolSite) -> None:
    """A boot that takes longer than `boot_timeout` ends the start with exit code 4."""
    worker = pool.worker(BRIDGE_BOOT_TIMEOUT="50ms")
    assert await worker.ended() == 4, worker.log
    assert "not ready after 0.05 s" in worker.log
