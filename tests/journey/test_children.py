"""A bad event ends its own process, and affects no other event."""

import os
import signal

import pytest

from tests.journey.site import Site, eventually


@pytest.mark.parametrize("step", ["kill", "exit:0", "exit:3"])
async def test_an_event_that_ends_its_process_does_not_touch_its_neighbour(site: Site, step: str) -> None:
    """The process that began the other event finishes it, and the lost child is replaced."""
    site.configure("deadline = '1h'\nretry = {attempts = 3, initial = '1s', base = 1, jitter = 0}\n")
    (long,) = await site.defer("do.this", "until:gate")
    worker = site.worker(own_boot=True)
    await eventually(lambda: len(site.effects(id=long)) == 1, report=lambda: worker.log)
    (bad,) = await site.defer("do.this", step, "ok")
    await eventually(lambda: len(site.effects(id=bad, began=False)) == 1, report=lambda: worker.log)
    (site.directory / "gate").touch()
    await eventually(lambda: len(site.effects(id=long)) == 2, report=lambda: worker.log)
    began, ended = site.effects(id=long)
    assert (began.attempt, began.pid) == (ended.attempt, ended.pid)
    await eventually(lambda: len(worker.children) == 3)  # the spare is one of them
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    assert await site.letters() == []


async def test_a_handler_past_its_deadline_costs_its_own_process_only(site: Site) -> None:
    """A child is ended at the deadline, while the other child runs further events."""
    site.configure(
        "retry = {attempts = 20, initial = '1s', base = 1}\n[queues.slow]\npatterns = ['do.slow']\ndeadline = '1s'\n"
        "[queues.default]\n"
    )
    worker = site.worker(own_boot=True)
    (bad,) = await site.defer("do.slow", "sleep:3600", "ok")
    await eventually(lambda: bool(site.effects(id=bad)), report=lambda: worker.log)
    hung = site.effects(id=bad)[0].pid
    others = await site.defer("do.this", "ok", count=20)
    await eventually(lambda: len(site.effects(began=False)) == 21, report=lambda: worker.log)
    assert hung not in site.processes
    assert {effect.id for effect in site.effects(began=False)} == {bad, *others}


async def test_an_idle_child_that_is_killed_is_replaced_without_a_failed_attempt(site: Site) -> None:
    """All events succeed at their first attempt after idle children were killed."""
    worker = site.worker(own_boot=True)
    await eventually(lambda: len(worker.children) == 3, report=lambda: worker.log)
    await worker.says("ready for events")
    killed = set(worker.children)
    for child in killed:
        os.kill(child, signal.SIGKILL)
    await eventually(lambda: not killed.intersection(site.processes))  # until then, they may get events
    await site.defer("do.this", "ok", count=5)
    await eventually(lambda: len(site.effects(began=False)) == 5, report=lambda: worker.log)
    assert {effect.attempt for effect in site.effects()} == {1}
