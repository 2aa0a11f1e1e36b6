"""Complaints about events that run again although nothing had failed."""

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
    """Wait until the worker has acknowledged so many events."""
    await eventually(lambda: [worker["delivered"] for worker in pool.status()] == [count], within=60)


@pytest.mark.parametrize("hurt", ["closes the connections three times", "is killed"])
async def test_what_runs_is_not_run_again_after_a_reconnect(node: RabbitNode, site: Site, hurt: str) -> None:
    """celery#4671: what runs while the broker restarts cannot be acked when it ends, and runs once more; and so again,
    where connections do not last. Here a redelivery joins the run that is under way, or that has ended meanwhile."""
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
                await asyncio.to_thread(node.ctl, "close_all_connections", "for a test")
                await said(worker, "is back", times)
        await delivered(pool, 2)

    assert len(site.effects(began=True)) == len(site.effects(began=False)) == 2


@contextmanager
def impatient(node: RabbitNode) -> Iterator[None]:
    """To channels that are opened meanwhile, the node leaves 2 s to acknowledge a delivery instead of 30 minutes."""
    setting = "[application:set_env(rabbit, Key, Value) || {{Key, Value}} <- [{}]]."
    node.ctl("eval", setting.format("{consumer_timeout, 2000}, {channel_tick_interval, 500}"))
    try:
        yield
    finally:
        node.ctl("eval", setting.format("{consumer_timeout, 1800000}, {channel_tick_interval, 60000}"))


async def test_an_event_that_takes_longer_than_the_broker_waits_is_run_once(node: RabbitNode, site: Site) -> None:
    """celery#6760, dramatiq#827: what is not acked within 30 minutes goes back to its queue and the channel is closed;
    the worker dies of it, or runs the event again and again. Here it runs once, and the worker goes on."""
    with impatient(node), pool_site(site) as pool:
        worker = await ready_worker(site, BRIDGE_CONTROL_DIRECTORY=str(pool.sockets))
        (long,) = await site.defer("do.this", "sleep:6")
        await said(worker, "is back", times=1)
        (other,) = await site.defer("do.this", "ok")
        await delivered(pool, 2)

    assert "delivery acknowledgement on channel 1 timed out" in worker.log
    assert [len(site.effects(id=event, began=True)) for event in (long, other)] == [1, 1]
