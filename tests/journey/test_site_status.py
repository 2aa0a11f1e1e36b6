"""`bridge-status --site`: every worker of a site, on both brokers."""

import asyncio
import json
import signal
from typing import Any

from tests.journey.site import Program, Site, eventually
from tests.limits import PATIENCE


async def roll(site: Site, code: int) -> dict[str, Any]:
    """Return what `bridge-status --site --json` prints; it must end with this exit code."""
    status = site.run("bridge-status", "--site", "--json")
    assert await status.ended() == code, status.log
    found: dict[str, Any] = json.loads(status.log)
    return found


def pids(rows: list[dict[str, Any]]) -> set[int]:
    """Return the process ids of workers."""
    return {row["pid"] for row in rows}


async def test_the_workers_of_a_site(site: Site) -> None:
    """Workers that run answer; one that is frozen or was killed is missing; one that ended well is not."""
    async with site.broker():
        pass
    assert await roll(site, 1) == {"workers": [], "missing": [], "unreadable": []}
    workers = [site.worker() for _ in range(4)]
    runs, ends, killed, frozen = workers
    for worker in workers:
        await worker.says("ready for events")

    found = await _eventually_all_answer(site, workers)
    assert found["missing"] == []
    assert {row["app"] for row in found["workers"]} == {"behaving:app"}

    ends.signal(signal.SIGTERM)
    assert await ends.ended() == 0, ends.log
    killed.signal(signal.SIGKILL)
    await eventually(lambda: killed.process.poll() is not None)
    frozen.signal(signal.SIGSTOP)
    try:
        found = await _eventually_all_answer(site, [runs])
        assert pids(found["missing"]) == {killed.process.pid, frozen.process.pid}
        shown = await _eventually_says(site, "1 worker answered, 2 missing")
        assert await shown.ended() == 1
        assert shown.log.count("missing: last seen") == 2
    finally:
        frozen.signal(signal.SIGCONT)
    found = await _eventually_all_answer(site, [runs, frozen])
    assert pids(found["missing"]) == {killed.process.pid}


async def _eventually_all_answer(site: Site, workers: list[Program]) -> dict[str, Any]:
    """Ask until all of these workers answer, and no others: a worker begins to listen soon after its start, and one
    without CPU answers too late."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status = site.run("bridge-status", "--site", "--json")
            await status.ended()
            found: dict[str, Any] = json.loads(status.log)
            if pids(found["workers"]) == {worker.process.pid for worker in workers}:
                return found


async def _eventually_says(site: Site, text: str) -> Program:
    """Run `bridge-status --site` until its output has this text; return that program."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status = site.run("bridge-status", "--site")
            await status.ended()
            if text in status.log:
                return status
