"""Complaints about how workers start and end: no clear error at the start, lost or repeated events at the end."""

import asyncio
import os
import signal
from collections.abc import Callable

import aiormq
import pytest

from tests.complaints.acts import begun, done, ready_worker
from tests.complaints.web import LONGEST, Web
from tests.journey.site import Site
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq


async def test_a_queue_with_other_arguments_ends_the_worker_with_a_sentence(
    node: RabbitNode, node_log: Callable[[], str], site: Site, web: Web
) -> None:
    """dramatiq#301: a queue with the same name but other arguments exists, and the worker gets a 406 every few seconds
    without limit. Here it ends with exit code 3 and names the queue and the difference; `defer()` raises the same."""
    queue = f"{site.namespace}.q.default"
    async with aiormq.connect(node.url) as connection:
        await (await connection.channel()).queue_declare(queue, durable=True)

    worker = site.worker()
    assert await worker.ended() == 3, worker.log
    (answer,) = await web.defer("ok")

    for said in (worker.log, answer.says):
        assert f"RabbitMQ refuses queue '{queue}'" in said
        assert "inequivalent arg" in said
    # One try of the worker. `defer()` publishes first, so it may declare twice: meanwhile, and for what is returned.
    assert (await asyncio.to_thread(node_log)).count(f"for queue '{queue}'") in (2, 3)
    assert answer.error == "DeferUnavailable"
    assert answer.seconds < LONGEST


@pytest.mark.parametrize(("deadline", "said"), [("29m", False), ("45m", True)])
async def test_a_deadline_beyond_the_brokers_patience_is_told_at_the_start(
    site: Site, deadline: str, said: bool
) -> None:
    """celery#6760, dramatiq#827: users learn of the 30 minutes at the first task that takes longer. Here a worker warns
    at its start if a replay may last that long."""
    site.configure(f"deadline = '{deadline}'")

    worker = await ready_worker(site)

    assert ("queue default: a replay may last 0:45:00" in worker.log) == said
    assert ("consumer_timeout" in worker.log) == said


async def test_heartbeats_go_on_while_a_worker_finishes_what_runs(node_log: Callable[[], str], site: Site) -> None:
    """celery#5998: after SIGTERM a worker sends no heartbeats; the broker closes the connection and redelivers the
    running task to another worker. Here the connection lives until the last event is acked."""
    heartbeat = {"BRIDGE_BROKER_URL": f"{site.broker_url}?heartbeat=6"}
    worker = await ready_worker(site, **heartbeat)
    (event,) = await site.defer("do.this", "sleep:20")  # RabbitMQ waits at most 18 s for a heartbeat
    await begun(site, worker, 1)
    worker.process.terminate()
    other = await ready_worker(site, **heartbeat)
    assert await worker.ended() == 0, worker.log

    await done(site, other, *await site.defer("do.this", "ok"))
    assert len(site.effects(id=event, began=True)) == len(site.effects(id=event, began=False)) == 1
    assert "no connection to RabbitMQ" not in worker.log
    assert "missed heartbeats" not in await asyncio.to_thread(node_log)
    assert (await site.backlog())["default"].ready == 0


async def test_work_is_not_lost_when_everything_is_killed(site: Site) -> None:
    """huey#844: the machine or the out-of-memory killer ends the consumer in the middle of a task, and the task is lost
    without an error. Here the next worker runs the event, with the same id."""
    worker = await ready_worker(site)
    (event,) = await site.defer("do.this", "sleep:3600")
    await begun(site, worker, 1)
    for pid in site.processes:
        os.kill(pid, signal.SIGKILL)
    await worker.ended()

    again = await ready_worker(site)

    await begun(site, again, 2)
    assert [effect.id for effect in site.effects(began=True)] == [event, event]


async def test_work_is_not_lost_when_the_process_that_runs_it_is_killed(site: Site) -> None:
    """rq#2015: a job with retries is lost if its process is killed. Here that is a failed attempt like any other, and
    the retry policy applies."""
    worker = await ready_worker(site)
    (event,) = await site.defer("do.this", "sleep:3600", "ok")
    await begun(site, worker, 1)
    os.kill(site.effects()[0].pid, signal.SIGKILL)

    await done(site, worker, event)
    assert [effect.attempt for effect in site.effects(began=True)] == [1, 2]
