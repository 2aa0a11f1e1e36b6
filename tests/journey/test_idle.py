"""Idle functions, in children of each kind: own boot, forked from a nursery, and behind web servers."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.journey.pool_program import at, pid_and_version, pool_of
from tests.journey.site import Site, eventually
from tests.journey.web_servers import cgi_fcgi
from tests.lines import whole_lines


def idle_calls(site: Site) -> Counter[int]:
    """Return how often the idle function was called in each process, and check that it had an app context."""
    lines = [line.split() for line in whole_lines(Path(site.environment["EFFECTS"] + ".idle"))]
    assert {name for _, name in lines} <= {"fronted"}
    return Counter(int(pid) for pid, _ in lines)


@pytest.mark.parametrize("own_boot", [True, False])
async def test_idle_functions_in_the_children_of_a_worker(here: Site, own_boot: bool) -> None:
    """Each child calls them once, the spare child too, and once more after an event. One that raises is logged."""
    worker = here.worker(app="idling:app", own_boot=own_boot)
    await eventually(lambda: len(idle_calls(here)) == 3, report=lambda: worker.log)
    assert set(idle_calls(here).values()) == {1}

    await here.defer("account.created")
    await eventually(lambda: idle_calls(here).total() == 4, report=lambda: worker.log)

    assert sorted(idle_calls(here).values()) == [1, 1, 2]
    failures = "the idle function 'idling:fail' failed; nothing else is affected"
    await eventually(lambda: worker.log.count(failures) == 4, report=lambda: worker.log)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0, worker.log
    assert "1 delivered" in worker.log
    assert "lost" not in worker.log


async def test_idle_functions_in_the_children_of_bridge_pool(here: Site) -> None:
    """A child calls them once after it has begun to serve, and once after each request, whether a client holds a
    connection or not."""
    pool = await pool_of(here, app="idling:app")
    await eventually(lambda: idle_calls(here).total() == 1, report=lambda: pool.log)

    (child,) = idle_calls(here)
    assert pid_and_version(here)[0] == child
    await eventually(lambda: idle_calls(here)[child] == 2, report=lambda: pool.log)
    assert cgi_fcgi(at(here), "/pid")
    await eventually(lambda: idle_calls(here)[child] == 3, report=lambda: pool.log)
    os.kill(pool.process.pid, signal.SIGTERM)
    assert await pool.ended() == 0, pool.log
