"""`bridge-status --stacks`: where the code of a child is now, while its event goes on."""

import asyncio
import json

import pytest

from tests.journey.pool_site import PoolSite
from tests.journey.site import eventually
from tests.limits import LONG

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


async def test_the_stacks_of_a_child_that_runs(pool: PoolSite) -> None:
    """Those of all threads, asked twice at once; the child is the same afterwards, and the attempt goes on."""
    pool.site.configure("deadline = '1h'\n")
    await pool.site.defer("do.this", "threads")
    worker = pool.worker()
    await worker.says("ready for events")
    await eventually(lambda: len(pool.slots("busy")) == 1)
    [slot] = pool.slots("busy")

    async def asked() -> list[dict[str, object]]:
        run = await asyncio.to_thread(pool.asked, "--stacks", str(slot["pid"]), "--json")
        found: list[dict[str, object]] = json.loads(run.stdout)
        return found

    def complete(found: list[dict[str, object]]) -> bool:
        stacks = str(found[0]["stacks"]) if found else ""
        return stacks.count("most recent call first") >= 2 and "in stuck_in_here" in stacks

    async with asyncio.timeout(LONG):  # a child without CPU does not write in time
        while not all(map(complete, found := await asyncio.gather(asked(), asked()))):
            pass

    for [answer] in found:
        assert (answer["pid"], answer["worker"], answer["event"]) == (slot["pid"], worker.process.pid, slot["id"])
    [after] = pool.slots("busy")
    assert (after["pid"], after["id"]) == (slot["pid"], slot["id"])


async def test_a_child_that_nobody_has(pool: PoolSite) -> None:
    """The exit code is 1, and the message names the command that lists the children."""
    worker = pool.worker()
    await worker.says("ready for events")

    run = await asyncio.to_thread(pool.asked, "--stacks", "1")

    assert (run.returncode, run.stdout) == (1, "")
    assert "no worker of the site answers that it has a child 1; bridge-status lists them" in run.stderr
