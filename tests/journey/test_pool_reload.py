"""SIGHUP: new code boots beside the old, then takes over. SIGTTIN and SIGTTOU: one child more, one less."""

import asyncio
import signal
from functools import partial

import pytest

from tests.journey.pool_site import PoolSite
from tests.journey.site import eventually

OPTIONS = pytest.mark.parametrize("options", [(), ("--preload",)], ids=["own boot", "preload"])


@OPTIONS
async def test_under_load_no_event_fails_or_is_sent_twice(pool: PoolSite, options: tuple[str, ...]) -> None:
    """Reloaded four times while events come; each runs once, at its first attempt."""
    pool.put("release.txt", "one")
    worker = pool.worker(*options)
    await worker.says("release one")
    worker.signal(signal.SIGHUP)  # before there is anything to reload: no harm
    await worker.says("ready for events")
    deferring = asyncio.create_task(pool.site.defer("do.this", "sleep:0.005", count=1500))
    for number in range(2, 6):
        pool.put("release.txt", f"version-{number}")
        worker.signal(signal.SIGHUP)
        await worker.says(f"release version-{number}")
    ids = await deferring
    await eventually(lambda: len(pool.site.effects(began=False, step="sleep:0.005")) >= 1500, report=lambda: worker.log)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    ran = pool.site.effects(began=True, step="sleep:0.005")
    assert sorted(effect.id for effect in ran) == sorted(ids)
    assert {effect.attempt for effect in ran} == {1}
    assert "1500 delivered, 0 retries, 0 dead-lettered" in worker.log
    assert not pool.site.processes


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@OPTIONS
async def test_what_runs_is_finished_by_the_old_version(pool: PoolSite, options: tuple[str, ...]) -> None:
    """While the new one serves what comes."""
    pool.put("release.txt", "old")
    worker = pool.worker(*options)
    (long,) = await pool.site.defer("do.this", "sleep:4")
    await eventually(lambda: len(pool.site.effects(id=long)) == 1, report=lambda: worker.log)
    pool.put("release.txt", "new")
    worker.signal(signal.SIGHUP)
    await worker.says("release new")
    (quick,) = await pool.site.defer("do.this", "ok")
    await eventually(lambda: len(pool.site.effects(id=quick)) == 2, report=lambda: worker.log)
    assert len(pool.site.effects(id=long)) == 1
    assert [slot["release"] for slot in pool.slots("retiring")] == ["old"]
    await eventually(lambda: len(pool.site.effects(id=long)) == 2, report=lambda: worker.log)
    began, ended = pool.site.effects(id=long)
    assert (began.pid, began.attempt) == (ended.pid, ended.attempt)
    await eventually(lambda: not pool.slots("retiring"))
    assert {slot["release"] for slot in pool.slots("idle", "spare")} == {"new"}
    assert pool.status()[0]["release"] == "new"


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@OPTIONS
@pytest.mark.parametrize("fault", ["broken", "cold"])
async def test_a_new_version_that_cannot_boot_leaves_the_old_one_running(
    pool: PoolSite, fault: str, options: tuple[str, ...]
) -> None:
    """And the log says why; when it is repaired, the next reload succeeds."""
    worker = pool.worker(*options)
    await eventually(lambda: len(pool.pids("idle", "spare")) == 3, report=lambda: worker.log)
    old = pool.pids("idle")
    pool.put(fault, "this version is not finished")
    worker.signal(signal.SIGHUP)
    await worker.says("the old one goes on")
    assert "this version is not finished" in worker.log
    assert pool.pids("idle") == old
    await pool.site.defer("do.this", "ok", count=5)
    await eventually(lambda: len(pool.site.effects(step="ok", began=False)) == 5, report=lambda: worker.log)
    pool.remove(fault)
    worker.signal(signal.SIGHUP)
    await worker.says("took over")
    assert not pool.pids("idle") & old


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
async def test_a_new_version_that_defers_elsewhere_leaves_the_old_one_running(pool: PoolSite) -> None:
    """The worker stays at the broker that it began with, and says what is different."""
    worker = pool.worker()
    await eventually(lambda: len(pool.pids("idle", "spare")) == 3, report=lambda: worker.log)
    old = pool.pids("idle")
    pool.put("broker.txt", "sqlite:////tmp/elsewhere.db")
    worker.signal(signal.SIGHUP)
    await worker.says("the old one goes on: broker_url = 'sqlite:////tmp/elsewhere.db': expected")
    assert pool.pids("idle") == old


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@OPTIONS
async def test_a_worker_that_is_stopped_in_mid_reload_leaves_nothing_behind(
    pool: PoolSite, options: tuple[str, ...]
) -> None:
    """What boots is dropped, and the worker ends as ever."""
    worker = pool.worker(*options)
    await worker.says("ready for events")
    worker.signal(signal.SIGHUP)
    await worker.says("new children boot")
    worker.signal(signal.SIGTERM)
    assert await worker.ended(within=10) == 0, worker.log
    assert "Traceback" not in worker.log
    assert not pool.site.processes


def _works_with(pool: PoolSite, children: int) -> bool:
    return len(pool.pids("idle", "busy")) == children


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
async def test_one_child_more_and_one_less(pool: PoolSite) -> None:
    """Never less than one; more of them take more events at a time."""
    worker = pool.worker()
    await eventually(lambda: len(pool.pids("idle")) == 2, report=lambda: worker.log)
    worker.signal(signal.SIGTTIN)
    await eventually(lambda: len(pool.pids("idle")) == 3, report=lambda: worker.log)
    await pool.site.defer("do.this", "sleep:1", count=6)
    await eventually(lambda: len(pool.pids("busy")) == 3, report=lambda: worker.log)
    for left in (2, 1, 1):
        worker.signal(signal.SIGTTOU)
        await eventually(partial(_works_with, pool, left), report=lambda: worker.log)
    await eventually(lambda: len(pool.site.effects(step="sleep:1", began=False)) == 6, report=lambda: worker.log)
    await worker.says("children: 1, as asked for by a signal")
    assert {effect.attempt for effect in pool.site.effects(step="sleep:1")} == {1}
    await eventually(lambda: len(worker.children) == 2)
