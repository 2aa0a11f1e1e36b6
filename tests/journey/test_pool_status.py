"""`bridge-status`: the state of every worker of this user, over Unix sockets that only this user may open."""

import json
import os
import signal
import stat
import time
from typing import Any

import pytest

from tests.journey.pool_site import PoolSite
from tests.journey.site import eventually

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


async def test_it_says_what_each_slot_does(pool: PoolSite) -> None:
    """A slot has its state, event, age, requests, memory, restarts and the reason of the last restart."""
    worker = pool.worker()
    await eventually(lambda: len(pool.pids("idle", "spare")) == 3, report=lambda: worker.log)
    os.kill(pool.slots("idle")[0]["pid"], signal.SIGKILL)
    await eventually(lambda: pool.status()[0]["restarts"] == 1, report=lambda: worker.log)
    deferred = time.monotonic()
    (event,) = await pool.site.defer("do.this", "until:gate")
    busy_slots: list[dict[str, Any]] = []

    def is_busy() -> bool:
        busy_slots[:] = pool.slots("busy")
        return bool(busy_slots)

    await eventually(is_busy, report=lambda: worker.log)
    (busy,) = busy_slots
    assert (busy["event"], busy["id"], busy["queue"], busy["attempt"]) == ("do.this", event, "default", 1)
    assert 0 <= busy["seconds"] < time.monotonic() - deferred
    assert busy["rss"] > 10 * 1024**2
    assert {slot["why"] for slot in pool.slots("idle", "busy")} == {None, "was ended by SIGKILL"}
    pool.put("gate", "")
    await eventually(lambda: [slot["requests"] for slot in pool.slots("idle") if slot["requests"]] == [1])
    (shown,) = json.loads(pool.asked("--json").stdout)
    assert (shown["pid"], shown["app"], shown["delivered"]) == (worker.process.pid, "pooled:app", 1)


async def test_for_people_it_is_a_table(pool: PoolSite) -> None:
    """Without --json, the status is a table with the same facts."""
    (event,) = await pool.site.defer("do.this", "sleep:30")
    worker = pool.worker()
    await eventually(lambda: bool(pool.slots("busy")), report=lambda: worker.log)
    shown = pool.asked()
    assert shown.returncode == 0
    for text in (f"worker {worker.process.pid}: pooled:app", "busy", "idle", event, "MiB"):
        assert text in shown.stdout


async def test_it_waits_for_no_child_and_for_no_worker(pool: PoolSite) -> None:
    """A stopped child is in the status like any other; a stopped worker is reported as not answering."""
    worker = pool.worker()
    await eventually(lambda: len(pool.pids("idle")) == 2, report=lambda: worker.log)
    for child in pool.pids("idle", "spare"):
        os.kill(child, signal.SIGSTOP)
    assert len(pool.pids("idle")) == 2
    worker.signal(signal.SIGSTOP)
    shown = pool.asked()
    assert "it does not answer" in shown.stdout
    worker.signal(signal.SIGKILL)


async def test_it_lists_all_workers_and_forgets_those_that_were_killed(pool: PoolSite) -> None:
    """The status lists all workers of a host, and removes the sockets of killed ones."""
    workers = [pool.worker("--children", "1", "--spare", "0") for _ in range(2)]
    await eventually(lambda: len(pool.status()) == 2, report=lambda: workers[0].log + workers[1].log)
    assert {shown["pid"] for shown in pool.status()} == {worker.process.pid for worker in workers}
    workers[0].signal(signal.SIGKILL)
    workers[1].signal(signal.SIGTERM)
    await workers[0].ended()
    await workers[1].ended()
    shown = pool.asked()
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "no worker runs" in shown.stderr
    third = pool.worker("--children", "1")
    await eventually(lambda: len(pool.status()) == 1, report=lambda: third.log)
    assert len(list(pool.sockets.iterdir())) == 1


async def test_the_socket_is_for_its_user_alone(pool: PoolSite) -> None:
    """The socket has mode 0600 in a directory of mode 0700. A worker opens none in a directory that other users may
    enter, and logs that."""
    worker = pool.worker()
    await eventually(lambda: bool(pool.status()), report=lambda: worker.log)
    (socket,) = pool.sockets.iterdir()
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(pool.sockets.stat().st_mode) == 0o700
    pool.sockets.chmod(0o755)
    second = pool.worker()
    await second.says("bridge-status will not find this worker")
    await second.says("ready for events")
    assert list(pool.sockets.iterdir()) == [socket]
