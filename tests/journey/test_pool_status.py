"""`bridge-status`: what every worker of this user does, from its books, over a socket of this user's own."""

import os
import signal
import stat
import time

import pytest

from tests.journey.pool_site import PoolSite
from tests.journey.site import eventually

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


async def test_it_says_what_each_slot_does(pool: PoolSite) -> None:
    """State, event, age, requests, memory, restarts and why."""
    worker = pool.worker()
    await eventually(lambda: len(pool.pids("idle", "spare")) == 3, report=lambda: worker.log)
    os.kill(pool.slots("idle")[0]["pid"], signal.SIGKILL)
    await eventually(lambda: pool.status()[0]["restarts"] == 1, report=lambda: worker.log)
    (event,) = await pool.site.defer("do.this", "sleep:3")
    await eventually(lambda: bool(pool.slots("busy")), report=lambda: worker.log)
    (busy,) = pool.slots("busy")
    assert (busy["event"], busy["id"], busy["queue"], busy["attempt"]) == ("do.this", event, "default", 1)
    assert 0 <= busy["seconds"] < 3 < 10 * 1024**2 < busy["rss"]
    assert {slot["why"] for slot in pool.slots("idle", "busy")} == {None, "was ended by SIGKILL"}
    await eventually(lambda: [slot["requests"] for slot in pool.slots("idle") if slot["requests"]] == [1])
    (told,) = pool.status()
    assert (told["pid"], told["app"], told["delivered"]) == (worker.process.pid, "pooled:app", 1)


async def test_for_people_it_is_a_table(pool: PoolSite) -> None:
    """The same, to be read."""
    (event,) = await pool.site.defer("do.this", "sleep:30")
    worker = pool.worker()
    await eventually(lambda: bool(pool.slots("busy")), report=lambda: worker.log)
    told = pool.asked()
    assert told.returncode == 0
    for text in (f"worker {worker.process.pid}: pooled:app", "busy", "idle", event, "MiB"):
        assert text in told.stdout


async def test_it_waits_for_no_child_and_for_no_worker(pool: PoolSite) -> None:
    """A child that is stopped is told of as any other; a worker that is stopped is said not to answer."""
    worker = pool.worker()
    await eventually(lambda: len(pool.pids("idle")) == 2, report=lambda: worker.log)
    for child in pool.pids("idle", "spare"):
        os.kill(child, signal.SIGSTOP)
    began = time.monotonic()
    assert len(pool.pids("idle")) == 2
    assert time.monotonic() - began < 2
    worker.signal(signal.SIGSTOP)
    told = pool.asked()
    assert "it does not answer" in told.stdout
    assert time.monotonic() - began < 10
    worker.signal(signal.SIGKILL)


async def test_it_lists_all_workers_and_forgets_those_that_were_killed(pool: PoolSite) -> None:
    """Several on one host have a socket each."""
    workers = [pool.worker("--children", "1", "--spare", "0") for _ in range(2)]
    await eventually(lambda: len(pool.status()) == 2, report=lambda: workers[0].log + workers[1].log)
    assert {told["pid"] for told in pool.status()} == {worker.process.pid for worker in workers}
    workers[0].signal(signal.SIGKILL)
    workers[1].signal(signal.SIGTERM)
    await workers[0].ended()
    await workers[1].ended()
    told = pool.asked()
    assert (told.returncode, told.stdout) == (1, "")
    assert "no worker runs" in told.stderr
    third = pool.worker("--children", "1")
    await eventually(lambda: len(pool.status()) == 1, report=lambda: third.log)
    assert len(list(pool.sockets.iterdir())) == 1


async def test_the_socket_is_for_its_user_alone(pool: PoolSite) -> None:
    """Mode 0600 in a directory of mode 0700; in one that others may enter it is not opened, and the log says so."""
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
