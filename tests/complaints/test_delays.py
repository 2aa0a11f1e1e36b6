"""Complaints about delayed events: they fill the workers' memory, or wait for one another."""

import asyncio

import psutil
import pytest

from tests.complaints.acts import done, ready_worker
from tests.journey.site import Site
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq

AN_HOUR = 3600
MANY = 20_000
MEBIBYTE = 1024**2


async def test_events_that_wait_for_their_time_are_not_held_by_the_worker(node: RabbitNode, site: Site) -> None:
    """celery#9849: a worker fetches all delayed tasks without a limit and keeps each until it is due; its memory fills,
    it is killed, and the next worker fetches them. Here delayed events wait in RabbitMQ, not in a worker."""
    worker = await ready_worker(site)
    await done(site, worker, *await site.defer("do.this", "ok", count=20))
    process = psutil.Process(worker.process.pid)
    before = process.memory_info().rss

    await site.defer("do.this", "ok", count=MANY, delay=AN_HOUR)
    await done(site, worker, *await site.defer("do.this", "ok"))

    assert process.memory_info().rss - before < 5 * MEBIBYTE
    unacked = await asyncio.to_thread(node.ctl, "list_queues", "messages_unacknowledged")
    assert set(unacked.split()) == {"0"}
    assert (await site.backlog())["default"].waiting == MANY
    assert len(site.effects(began=True)) == 21


async def test_a_long_delay_does_not_hold_up_a_short_one(site: Site) -> None:
    """dramatiq#458: with a time to live for each message, an expired message waits in the queue for earlier ones that
    have not expired, and is hours late. Here an event comes when it is due, whatever was deferred before it."""
    worker = await ready_worker(site)
    (_, later, soon) = [(await site.defer("do.this", "ok", delay=delay))[0] for delay in (AN_HOUR, 10, 1)]
    await done(site, worker, later, soon)

    assert [effect.id for effect in site.effects(began=False)] == [soon, later]
