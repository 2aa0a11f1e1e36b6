"""`--preload`: one process, the nursery, imports the app, and the children are forked from it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journey.pool_site import PoolSite
from tests.journey.site import eventually

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)

WEIGHT = "60"


def _memory(pid: int) -> float:
    """Return the PSS of a process in MiB: shared memory counts by the process's share."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("Pss:")) / 1024


async def _cost(pool: PoolSite, *options: str) -> float:
    """Return the PSS in MiB of the processes of a pool with four children, after 200 events."""
    worker = pool.worker("--children", "4", "--spare", "0", *options, WEIGHT=WEIGHT)
    await eventually(lambda: len(pool.pids("idle")) == 4, report=lambda: worker.log)
    await pool.site.defer("do.this", "sleep:0.01", count=200)
    await eventually(lambda: pool.status()[0]["delivered"] == 200, report=lambda: worker.log)
    cost = sum(map(_memory, set(pool.site.processes) - {worker.process.pid}))
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    return cost


async def test_it_saves_memory(pool: PoolSite, record_property: Callable[[str, object], None]) -> None:
    """Four children of an app with 60 MB of objects need less than 60 % of the memory, since they share the objects."""
    alone = await _cost(pool)
    forked = await _cost(pool, "--preload")
    record_property("MiB of four children, each booted on its own", round(alone))
    record_property("MiB of four children and their nursery", round(forked))
    print(f"four children: {alone:.0f} MiB alone, {forked:.0f} MiB with --preload: {1 - forked / alone:.0%} saved")
    assert forked < alone * 0.6


async def test_the_app_is_imported_once(pool: PoolSite) -> None:
    """A lost child is replaced by a fork without a further import, and its exit status is logged."""
    pool.put("greeting", "once and for all")
    worker = pool.worker("--preload")
    await eventually(lambda: len(pool.pids("idle", "spare")) == 3, report=lambda: worker.log)
    await pool.site.defer("do.this", "exit:5", "ok")
    await eventually(lambda: len(pool.site.effects(step="ok", began=False)) == 1, report=lambda: worker.log)
    await eventually(lambda: len(pool.pids("idle", "spare")) == 3, report=lambda: worker.log)
    assert worker.log.count("once and for all") == 1
    assert " child ended with exit status 5" in worker.log, worker.log  # busy, or idle once its event has failed
    (nursery,) = worker.children
    assert nursery not in pool.pids("idle", "spare")


async def test_no_orphan_outlives_the_worker(pool: PoolSite) -> None:
    """If the worker is killed during an event, its nursery, children and spare end too."""
    worker = pool.worker("--preload")
    await eventually(lambda: bool(pool.pids("spare")), report=lambda: worker.log)
    (event,) = await pool.site.defer("do.this", "stuck", "ok")
    await eventually(lambda: len(pool.site.effects(id=event)) == 1, report=lambda: worker.log)
    assert len(pool.site.processes) == 5
    worker.signal(signal.SIGKILL)
    await worker.ended()
    await eventually(lambda: not pool.site.processes)
    second = pool.worker("--preload")
    await eventually(lambda: len(pool.site.effects(id=event)) == 2, report=lambda: second.log)


async def test_a_killed_nursery_is_replaced(pool: PoolSite) -> None:
    """After SIGKILL of the nursery its children end, and a new nursery forks new ones."""
    worker = pool.worker("--preload")
    await eventually(lambda: len(pool.pids("idle", "spare")) == 3, report=lambda: worker.log)
    (nursery,) = worker.children
    os.kill(nursery, signal.SIGKILL)
    await pool.site.defer("do.this", "ok", count=5)
    await eventually(lambda: len(pool.site.effects(step="ok", began=False)) == 5, report=lambda: worker.log)
    await eventually(lambda: len(pool.pids("idle", "spare")) == 3, report=lambda: worker.log)
    assert worker.children != [nursery]
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    assert not pool.site.processes


async def test_an_app_that_starts_threads_at_its_import_gets_a_warning(pool: PoolSite) -> None:
    """The log warns of threads that the import has started, since forked children do not have them."""
    pool.put("threaded", "")
    worker = pool.worker("--preload")
    await worker.says("ready for events")
    assert "WARNING: the app has threads after its import (watcher)" in worker.log
