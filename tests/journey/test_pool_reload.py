"""SIGHUP boots the new version while the old one runs, and then replaces it. SIGTTIN and SIGTTOU add and remove a
child."""

import asyncio
import shutil
import signal
from functools import partial

import pytest

from tests.journey.pool_site import PoolSite
from tests.journey.site import PROGRAMS, Program, eventually

OPTIONS = pytest.mark.parametrize("options", [(), ("--preload",)], ids=["own boot", "preload"])


@pytest.mark.parametrize(
    ("site", "options"),
    [
        pytest.param("sqlite", (), id="own boot"),
        pytest.param("sqlite", ("--preload",), id="preload"),
        pytest.param("rabbitmq", (), id="rabbitmq", marks=pytest.mark.rabbitmq),
    ],
    indirect=["site"],
)
async def test_under_load_no_event_fails_or_is_sent_twice(pool: PoolSite, options: tuple[str, ...]) -> None:
    """During four reloads under load each event runs once, at its first attempt."""
    pool.put("release.txt", "one")
    worker = pool.worker(*options)
    await worker.says("release one")
    worker.signal(signal.SIGHUP)  # before the first boot is complete: must do no harm
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
async def test_the_old_version_finishes_its_events(pool: PoolSite, options: tuple[str, ...]) -> None:
    """The old version finishes the event that it runs, while the new version runs new events."""
    pool.put("release.txt", "old")
    pool.site.configure("deadline = '1h'\n")
    worker = pool.worker(*options)
    (long,) = await pool.site.defer("do.this", "until:gate")
    await eventually(lambda: len(pool.site.effects(id=long)) == 1, report=lambda: worker.log)
    pool.put("release.txt", "new")
    worker.signal(signal.SIGHUP)
    await worker.says("release new")
    (quick,) = await pool.site.defer("do.this", "ok")
    await eventually(lambda: len(pool.site.effects(id=quick)) == 2, report=lambda: worker.log)
    assert len(pool.site.effects(id=long)) == 1
    assert "old" in [slot["release"] for slot in pool.slots("retiring")]  # next to idle ones that have not exited yet
    pool.put("gate", "")
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
    """The log has the reason; after the app is repaired, the next reload succeeds."""
    worker = pool.worker(*options)
    await eventually(lambda: len(pool.pids("idle", "spare")) == 3, report=lambda: worker.log)
    old = pool.pids("idle")
    pool.put(fault, "this version is not finished")
    worker.signal(signal.SIGHUP)
    await worker.says("the old children keep serving")
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
    """The worker keeps its broker and its old children, and logs the differing setting."""
    worker = pool.worker()
    await eventually(lambda: len(pool.pids("idle", "spare")) == 3, report=lambda: worker.log)
    old = pool.pids("idle")
    pool.put("broker.txt", "sqlite:////tmp/elsewhere.db")
    worker.signal(signal.SIGHUP)
    await worker.says("the old children keep serving: broker_url = 'sqlite:////tmp/elsewhere.db': expected")
    assert pool.pids("idle") == old


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@OPTIONS
async def test_a_worker_that_is_stopped_in_mid_reload_leaves_nothing_behind(
    pool: PoolSite, options: tuple[str, ...]
) -> None:
    """At SIGTERM during a reload the worker ends the booting children, and exits with 0."""
    worker = pool.worker(*options)
    await worker.says("ready for events")
    worker.signal(signal.SIGHUP)
    await worker.says("reload: booting new children")
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0, worker.log
    assert "Traceback" not in worker.log
    assert not pool.site.processes


def _works_with(pool: PoolSite, children: int) -> bool:
    return len(pool.pids("idle", "busy")) == children


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
async def test_one_child_more_and_one_less(pool: PoolSite) -> None:
    """SIGTTIN adds a child that takes events, and SIGTTOU removes one, but never the last."""
    pool.site.configure("deadline = '1h'\n")
    worker = pool.worker()
    await eventually(lambda: len(pool.pids("idle")) == 2, report=lambda: worker.log)
    worker.signal(signal.SIGTTIN)
    await eventually(lambda: len(pool.pids("idle")) == 3, report=lambda: worker.log)
    await pool.site.defer("do.this", "until:gate", count=6)
    await eventually(lambda: len(pool.pids("busy")) == 3, report=lambda: worker.log)
    for left in (2, 1, 1):
        worker.signal(signal.SIGTTOU)
        await eventually(partial(_works_with, pool, left), report=lambda: worker.log)
    await worker.says("pool size changed by a signal; children: 1")
    pool.put("gate", "")
    await eventually(lambda: len(pool.site.effects(step="until:gate", began=False)) == 6, report=lambda: worker.log)
    assert {effect.attempt for effect in pool.site.effects(step="until:gate")} == {1}
    await eventually(lambda: len(worker.children) == 2)


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@pytest.mark.parametrize("by", ["--chdir", "PWD"])
async def test_a_deploy_that_points_a_link_to_the_new_version_is_loaded(pool: PoolSite, by: str) -> None:
    """The worker knows the link by its option, or by the shell's PWD. The log names the directory of each version."""
    directory = pool.site.directory
    for release in ("one", "two"):
        (directory / release).mkdir()
        shutil.copy(directory / "pooled.py", directory / release)
        (directory / release / "release.txt").write_text(release)
    link = directory / "current"
    link.symlink_to("one")
    if by == "--chdir":
        worker = pool.worker("--chdir", "current")
    else:
        command = f"cd current && exec {PROGRAMS}/bridge-worker pooled:app --children 1 --spare 0"
        worker = Program(["sh", "-c", command], directory, pool.environment)
    await worker.says("ready for events")
    worker.signal(signal.SIGHUP)
    await worker.says(f"release one, from {directory}/one, as before")
    (directory / "next").symlink_to("two")
    (directory / "next").rename(link)
    worker.signal(signal.SIGHUP)
    await worker.says(f"release two, from {directory}/two")
    assert {slot["release"] for slot in pool.slots("idle")} == {"two"}
