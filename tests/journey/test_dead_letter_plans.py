"""Groups of failures and plans of redrives with a real worker, on both brokers."""

import asyncio
import json
from typing import Any

from tests.journey.site import Site, eventually
from tests.journey.test_history import ended
from tests.limits import PATIENCE


async def _groups(site: Site) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await ended(site.run("bridge-dlq", "groups", "--json"))).splitlines()]


async def _plans(site: Site) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await ended(site.run("bridge-dlq", "plans", "--json"))).splitlines()]


async def test_a_plan_ends_with_its_canary_while_the_failure_is_there(site: Site) -> None:
    """The failures of one cause are one group, dead or retrying; its plan puts two events back, and no other."""
    site.configure(
        "retry = {attempts = 1}\nrelease = 'v7'\n[queues.default]\n[queues.slow]\n"
        "patterns = ['do.slowly']\nretry = {attempts = 2, initial = '1h'}\n"
    )
    for number in range(5):
        await site.defer(f"do.{number}", "fail")
    await site.defer("do.slowly", "fail")
    worker = site.worker()
    await eventually(lambda: len(site.effects(step="fail")) == 6, report=lambda: worker.log)
    groups = await _groups(site)
    while [(each["dead"]["count"], each["retrying"]["count"]) for each in groups] != [(5, 1)]:
        groups = await _groups(site)  # the letters and the history are written soon after
    (group,) = groups
    assert group["title"].startswith("ConnectionError: downstream is down, in ")
    assert group["place"].endswith("/behaving.py fail")
    assert group["in_common"].startswith("release v7 · ")

    plan = site.run("bridge-dlq", "redrive", "--group", group["group"], "--yes", "--plan", "--canary", "2")

    assert await plan.ended() == 1, plan.log
    (found,) = await _plans(site)
    assert (found["state"], found["redriven"], found["delivered"]) == ("aborted", 2, 0)
    assert found["why_ended"].startswith("the failure is back: ")
    await eventually(lambda: len(site.effects(step="fail")) == 8, report=lambda: worker.log)
    async with asyncio.timeout(PATIENCE):
        while group["dead"]["count"] != 5:  # the letter of the second event is written soon after
            (group,) = await _groups(site)


async def test_a_plan_delivers_all_once_the_cause_is_gone(site: Site) -> None:
    """All letters of the plan are put back, step by step, and the ledger has no open letter."""
    site.configure("retry = {attempts = 1}\ndeadline = '0.3s'\n")
    for number in range(4):
        await site.defer(f"do.{number}", "sleep:5")
    await ended(site.worker("--until-settled"))
    site.configure("retry = {attempts = 1}\ndeadline = '10m'\n")
    worker = site.worker()

    plan = site.run("bridge-dlq", "redrive", "--all", "--yes", "--plan", "--canary", "1")

    assert await plan.ended() == 0, plan.log + worker.log
    (found,) = await _plans(site)
    assert (found["state"], found["redriven"], found["delivered"], found["failed"]) == ("done", 4, 4, 0)
    assert await _groups(site) == []
