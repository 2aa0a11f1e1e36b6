"""A child that has reached a limit is replaced between two events, and no event is lost or repeated."""

import signal
from collections import Counter

import pytest

from tests.journey.pool_site import PoolSite
from tests.journey.site import eventually


@pytest.mark.parametrize(
    ("site", "options"),
    [
        pytest.param("sqlite", (), id="own boot"),
        pytest.param("sqlite", ("--preload",), id="preload"),
        pytest.param("sqlite", ("--spare", "0"), id="no spare"),
        pytest.param("rabbitmq", (), id="rabbitmq", marks=pytest.mark.rabbitmq),
    ],
    indirect=["site"],
)
async def test_by_requests(pool: PoolSite, options: tuple[str, ...]) -> None:
    """Children are replaced after `max_requests`, and each event runs once."""
    await pool.site.defer("do.this", "sleep:0.1", count=120)
    worker = pool.worker("--until-settled", *options, BRIDGE_MAX_REQUESTS="20")
    assert await worker.ended() == 0, worker.log
    done = pool.site.effects(began=False, step="sleep:0.1")
    assert len({effect.id for effect in done}) == len(done) == 120
    assert {effect.attempt for effect in pool.site.effects(step="sleep:0.1")} == {1}
    served = Counter(effect.pid for effect in done)
    assert len(served) >= 4
    assert max(served.values()) < 90  # a child runs on until its replacement is warm
    assert "recycled after" in worker.log
    assert "120 delivered, 0 retries, 0 dead-lettered" in worker.log


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
async def test_by_requests_under_a_burst(pool: PoolSite) -> None:
    """No event is lost or repeated if children reach the limit faster than their replacements boot."""
    await pool.site.defer("do.this", "ok", count=2000)
    worker = pool.worker("--until-settled", BRIDGE_MAX_REQUESTS="50")
    assert await worker.ended() == 0, worker.log
    assert "2000 delivered, 0 retries, 0 dead-lettered" in worker.log
    assert len(pool.site.effects(step="ok", began=True)) == 2000


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
async def test_by_age(pool: PoolSite) -> None:
    """Idle and busy children are replaced after `max_age`; the process that began an event finishes it."""
    pool.site.configure("deadline = '1h'\n")
    worker = pool.worker(BRIDGE_MAX_AGE="2s")
    (long,) = await pool.site.defer("do.this", "until:gate")
    await eventually(lambda: bool(pool.site.effects(id=long)), report=lambda: worker.log)
    (began,) = pool.site.effects(id=long)

    def retires() -> bool:
        return (began.pid, long) in [(slot["pid"], slot["id"]) for slot in pool.slots("retiring")]

    await eventually(retires, report=lambda: worker.log)
    idle = pool.pids("idle")
    await eventually(lambda: not idle & pool.pids("idle"), report=lambda: worker.log)
    assert retires()
    pool.put("gate", "")
    await eventually(lambda: len(pool.site.effects(id=long)) == 2, report=lambda: worker.log)
    _, ended = pool.site.effects(id=long)
    assert (began.pid, began.attempt) == (ended.pid, ended.attempt)
    await eventually(lambda: any("recycled after" in (slot["why"] or "") for slot in pool.slots("idle")))
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    assert "1 delivered, 0 retries" in worker.log


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
async def test_by_memory(pool: PoolSite) -> None:
    """Only the child that uses more than `max_memory` is replaced."""
    worker = pool.worker(BRIDGE_MAX_MEMORY="150MiB")
    await eventually(lambda: len(pool.pids("idle")) == 2, report=lambda: worker.log)
    before = pool.pids("idle")
    await pool.site.defer("do.this", "grow:150")
    await worker.says("recycled at")
    (grown,) = pool.site.effects(step="grow:150", began=False)
    await eventually(lambda: len(pool.pids("idle")) == 2 and grown.pid not in pool.site.processes)
    assert before & pool.pids("idle") == before - {grown.pid}
    assert all(slot["rss"] < 150 * 1024**2 for slot in pool.slots("idle"))
