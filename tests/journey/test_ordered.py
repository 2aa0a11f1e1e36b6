"""An ordered queue with the real programs: order over retries, several workers and kills."""

import asyncio
import os
import signal
from collections.abc import Sequence

import pytest

from tests.journey.site import Effect, Program, Site, eventually
from tests.rabbitmq_node import RabbitNode

TOML = """
retry = {attempts = 3, initial = "2s", base = 1, jitter = 0}
[queues.orders]
patterns = ["do.order"]
ordered = true
[queues.default]
"""


def first_begun(effects: Sequence[Effect]) -> list[str]:
    """Return the ids of the events in the order in which they first began."""
    return list(dict.fromkeys(effect.id for effect in effects if effect.began))


def overlaps(effects: Sequence[Effect]) -> list[tuple[str, str]]:
    """Return pairs of events: one that had begun and not ended, and another one that began then. A step that fails
    writes no second line."""
    found, running = [], ""
    for effect in effects:
        if effect.began and running not in ("", effect.id):
            found.append((running, effect.id))
        running = effect.id if effect.began and effect.step != "fail" else ""
    return found


async def test_order_over_retries_workers_and_kills(site: Site) -> None:
    """Two workers, of which the one with the head is killed, twice: once while the event runs, and once while its
    retry waits. Every event runs, in order, and none begins before the one before it has ended."""
    site.configure(TOML)
    ids = []
    for steps in (["ok"], ["until:gate", "ok"], ["ok"], ["fail", "ok"], ["ok"], ["fail"], ["ok"]):
        ids += await site.defer("do.order", *steps)

    workers = [site.worker(own_boot=True), site.worker(own_boot=True)]
    await begun(site, ids[1], workers)
    kill_the_holder(site, ids[1], workers)
    (site.directory / "gate").touch()
    workers.append(site.worker(own_boot=True))
    await begun(site, ids[3], workers)
    await retry_waits(ids[3], workers)
    kill_the_holder(site, ids[3], workers)
    workers.append(site.worker(own_boot=True))
    await begun(site, ids[6], workers)

    effects = site.effects()
    assert first_begun(effects) == ids
    assert overlaps(effects) == []
    runs = [sum(effect.began for effect in effects if effect.id == event) for event in ids]
    assert [letter.envelope.event.id for letter in await site.letters()] == [ids[5]]
    assert (runs[1], runs[3], runs[5]) == (2, 2, 3)
    assert [runs[number] for number in (0, 2, 4, 6)] == [1, 1, 1, 1]


async def begun(site: Site, event: str, workers: Sequence[Program], times: int = 1) -> None:
    """Wait until an event has begun, as many times."""

    def logs() -> str:
        return "".join(each.log for each in workers)

    await eventually(lambda: len(site.effects(id=event, began=True)) >= times, report=logs)


async def retry_waits(event: str, workers: Sequence[Program]) -> None:
    """Wait until a worker logs the retry of an event, which it does after the broker has it. The error output of the
    event is logged before that, with the id too."""

    def logs() -> str:
        return "".join(each.log for each in workers)

    def is_logged() -> bool:
        return any("retry scheduled" in line and event in line for line in logs().splitlines())

    await eventually(is_logged, report=logs)


def kill_the_holder(site: Site, event: str, workers: list[Program]) -> None:
    """Kill the worker that has begun this event, and remove it from the list."""
    [worker] = [each for each in workers if site.effects(id=event)[-1].pid in each.children]
    worker.signal(signal.SIGKILL)
    workers.remove(worker)


@pytest.mark.rabbitmq
async def test_order_over_restarts_of_rabbitmq(node: RabbitNode, node_site: Site) -> None:
    """A run whose connection is lost ends, because another worker may begin its event by then. The order is kept, and
    so is the history of a retry that waits while RabbitMQ restarts."""
    node_site.configure(TOML.replace('initial = "2s"', 'initial = "8s"'))
    ids = []
    for steps in (["ok"], ["sleep:60", "ok"], ["fail", "ok"], ["ok"]):
        ids += await node_site.defer("do.order", *steps)
    workers = [node_site.worker(own_boot=True), node_site.worker(own_boot=True)]

    await begun(node_site, ids[1], workers)
    await asyncio.to_thread(node.restart)
    await begun(node_site, ids[1], workers, times=2)
    first, again = node_site.effects(id=ids[1])
    assert first.pid not in node_site.processes
    os.kill(again.pid, signal.SIGKILL)  # a crash of the child spends an attempt, and the retry waits
    await retry_waits(ids[1], workers)
    await asyncio.to_thread(node.restart)
    await begun(node_site, ids[3], workers)

    effects = node_site.effects()
    assert first_begun(effects) == ids
    assert overlaps(effects) == []
    assert [effect.attempt for effect in effects if effect.id == ids[1] and effect.began] == [1, 1, 2]
