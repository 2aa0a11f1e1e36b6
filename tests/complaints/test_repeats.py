"""Complaints about events that run again although they have not failed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.complaints.acts import begun, outlive_a_crash, ready_worker, said
from tests.journey.pool_site import PoolSite, pool_site
from tests.journey.site import Site, eventually
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq


async def delivered(pool: PoolSite, count: int) -> None:
    """Wait until the worker has acknowledged exactly this many events."""
    await eventually(lambda: [worker["delivered"] for worker in pool.status()] == [count])


@pytest.mark.parametrize("hurt", ["closes the connections three times", "is killed"])
async def test_what_runs_is_not_run_again_after_a_reconnect(node: RabbitNode, site: Site, hurt: str) -> None:
    """celery#4671: a task that runs while the broker restarts cannot be acked at its end, and so runs again, and again
    if connections break often. Here a redelivery joins the run that is in progress or has ended meanwhile."""
    with pool_site(site) as pool:
        worker = await ready_worker(site, BRIDGE_CONTROL_DIRECTORY=str(pool.sockets))
        await site.defer("do.this", "sleep:5", count=2)
        await begun(site, worker, 2)
        if hurt == "is killed":
            await outlive_a_crash()
            await asyncio.to_thread(node.kill)
            await asyncio.to_thread(node.start)
        else:
            for times in (1, 2, 3):
                await asyncio.to_thread(node.operator.close_all_connections)
                await said(worker, "is back", times)
        await delivered(pool, 2)

    assert len(site.effects(began=True)) == len(site.effects(began=False)) == 2


@contextmanager
def impatient(node: RabbitNode) -> Iterator[None]:
    """Make the node's acknowledgement timeout 2 s instead of 30 minutes, for channels that are opened meanwhile."""
    setting = "[application:set_env(rabbit, Key, Value) || {{Key, Value}} <- [{}]]."
    node.eval(setting.format("{consumer_timeout, 2000}, {channel_tick_interval, 500}"))
    try:
        yield
    finally:
        node.eval(setting.format("{consumer_timeout, 1800000}, {channel_tick_interval, 60000}"))


async def test_an_event_that_takes_longer_than_the_broker_waits_is_run_once(node: RabbitNode, site: Site) -> None:
    """celery#6760, dramatiq#827: a delivery that is not acked within 30 minutes returns to its queue. RabbitMQ closes
    the channel, or since 4.3 ends the consumer; the worker ends, or runs the event repeatedly. Here the event runs
    once, and the worker takes others."""
    with impatient(node), pool_site(site) as pool:
        worker = await ready_worker(site, BRIDGE_CONTROL_DIRECTORY=str(pool.sockets))
        (long,) = await site.defer("do.this", "sleep:6")
        closed = "delivery acknowledgement on channel 1 timed out"
        ended = f"has ended the consumer of {site.namespace}.q.default"
        await eventually(lambda: closed in worker.log or ended in worker.log, report=lambda: worker.log)
        (other,) = await site.defer("do.this", "ok")
        await delivered(pool, 2)

    assert [len(site.effects(id=event, began=True)) for event in (long, other)] == [1, 1]
