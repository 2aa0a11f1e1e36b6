"""Complaints about how workers start and end: no clear word at the start, lost or repeated work at the end."""

import asyncio
import os
import signal

import aiormq
import pytest

from tests.complaints.acts import begun, done, ready_worker
from tests.complaints.web import LONGEST, Web
from tests.journey.site import Site
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq


async def test_a_queue_with_other_arguments_ends_the_worker_with_a_sentence(
    node: RabbitNode, site: Site, web: Web
) -> None:
    """dramatiq#301: a queue of the name exists with other arguments, and the worker meets a 406 every few seconds, for
    ever. Here it ends, exit code 3, and says which queue and what differs; so does the page that defers."""
    queue = f"{site.namespace}.q.default"
    async with aiormq.connect(node.url) as connection:
        await (await connection.channel()).queue_declare(queue, durable=True)

    worker = site.worker()
    assert await worker.ended(within=15) == 3, worker.log
    (answer,) = await web.defer("ok")

    for said in (worker.log, answer.says):
        assert f"RabbitMQ refuses queue '{queue}'" in said
        assert "inequivalent arg" in said
    assert (await asyncio.to_thread(node.logged)).count(f"for queue '{queue}'") == 2  # each was told once
    assert answer.error == "BrokerUnavailable"
    assert answer.seconds < LONGEST


@pytest.mark.parametrize(("deadline", "said"), [("29m", False), ("45m", True)])
async def test_a_deadline_beyond_the_brokers_patience_is_told_at_the_start(
    site: Site, deadline: str, said: bool
) -> None:
    """celery#6760, dramatiq#827: nobody knows of the 30 minutes before the first task that takes longer. Here a worker
    whose replays may last as long says so when it starts."""
    site.configure(f"deadline = '{deadline}'")

    worker = await ready_worker(site)

    assert ("queue default: a replay may last 0:45:00" in worker.log) == said
    assert ("consumer_timeout" in worker.log) == said


async def test_heartbeats_go_on_while_a_worker_finishes_what_runs(node: RabbitNode, site: Site) -> None:
    """celery#5998: a worker that is asked to stop sends no heartbeats any more; the broker closes the connection, and
    gives what still runs to another worker. Here the connection lives until the last event is acked."""
    heartbeat = {"BRIDGE_BROKER_URL": f"{site.broker_url}?heartbeat=2"}  # RabbitMQ waits some two or three of them
    worker = await ready_worker(site, **heartbeat)
    (event,) = await site.defer("do.this", "sleep:9")
    await begun(site, worker, 1)
    worker.process.terminate()
    other = await ready_worker(site, **heartbeat)
    assert await worker.ended() == 0, worker.log

    await done(site, other, *await site.defer("do.this", "ok"))
    assert len(site.effects(id=event, began=True)) == len(site.effects(id=event, began=False)) == 1
    assert "is lost" not in worker.log
    assert "missed heartbeats" not in await asyncio.to_thread(node.logged)
    assert (await site.backlog())["default"].ready == 0


async def test_work_is_not_lost_when_everything_is_killed(site: Site) -> None:
    """huey#844: the machine, or the out-of-memory killer, ends the consumer in the middle of a task, and the task is
    gone without a trace. Here the next worker runs it, with the same id."""
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
    """rq#2015: a job that is to be retried is lost where its process is killed. Here that is a failed attempt like any
    other, and the policy has its way."""
    worker = await ready_worker(site)
    (event,) = await site.defer("do.this", "sleep:3600", "ok")
    await begun(site, worker, 1)
    os.kill(site.effects()[0].pid, signal.SIGKILL)

    await done(site, worker, event)
    assert [effect.attempt for effect in site.effects(began=True)] == [1, 2]
