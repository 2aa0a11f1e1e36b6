"""Complaints about workers that run but take no events."""

import asyncio
from collections.abc import Callable

import pytest

from tests.complaints.acts import begun, done, ready_worker, said
from tests.journey.pool_site import is_ready, pool_site
from tests.journey.site import Site, eventually
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq


def consumers(node: RabbitNode, site: Site) -> int:
    """Return the number of consumers of the site's queue, as RabbitMQ counts them."""
    return node.operator.count_consumers(f"{site.namespace}.q.default")


async def test_the_worker_consumes_again_after_every_reconnect(node: RabbitNode, site: Site) -> None:
    """aio-pika#231, aio-pika#626: the broker restarts or closes a connection, the client reports that it has
    reconnected, but the queue has no consumer. Here the worker takes events again after each reconnect."""
    worker = await ready_worker(site)
    for hurt in (
        (node.operator.close_all_connections,),
        (node.stop_app, node.start_app),
        (node.operator.close_all_connections,),
    ):
        for step in hurt:
            await asyncio.to_thread(step)
        await done(site, worker, *await site.defer("do.this", "ok"))

    assert consumers(node, site) == 1


async def test_the_worker_consumes_again_after_the_broker_has_cancelled_its_consumer(
    node: RabbitNode, site: Site
) -> None:
    """aio-pika#334, dramatiq#832: the queue is deleted or loses its leader, the broker cancels the consumer, the client
    ignores that and waits without limit. Here the worker declares the queue again and takes events."""
    worker = await ready_worker(site)
    for times in (1, 2):
        await asyncio.to_thread(node.operator.delete_queue, f"{site.namespace}.q.default")
        await said(worker, f"has ended the consumer of {site.namespace}.q.default", times)
        await done(site, worker, *await site.defer("do.this", "ok"))

    assert consumers(node, site) == 1


async def test_an_ack_of_a_connection_that_is_gone_does_not_wedge_the_worker(
    node: RabbitNode, node_log: Callable[[], str], site: Site
) -> None:
    """aio-pika#688: a listener ends after the connection broke; its ack hangs, or closes the new channel, which does
    not know the delivery tag. Here the worker acks the redelivery of the event, and takes further events."""
    worker = await ready_worker(site)
    running = await site.defer("do.this", "sleep:2", count=2)
    await begun(site, worker, 2)
    await asyncio.to_thread(node.operator.suspend_listeners)
    try:
        await asyncio.to_thread(node.operator.close_all_connections)
        await done(site, worker, *running)
    finally:
        await asyncio.to_thread(node.operator.resume_listeners)

    await done(site, worker, *await site.defer("do.this", "ok", count=20))
    worker.process.terminate()
    assert await worker.ended() == 0, worker.log
    assert (await site.backlog())["default"].ready == 0
    assert "unknown delivery tag" not in await asyncio.to_thread(node_log)


async def test_a_worker_that_consumes_nothing_is_not_healthy(node: RabbitNode, site: Site) -> None:
    """roadrunner#1857: the health check passes because the process lives and the broker can be reached, although the
    queue has no consumer. Here a worker is ready if every queue has a live consumer; else `bridge-status` names the
    queue."""
    with pool_site(site) as pool:
        worker = await ready_worker(site, BRIDGE_CONTROL_DIRECTORY=str(pool.sockets))
        healthy = pool.asked("--ready")
        await asyncio.to_thread(node.operator.permit, configure="")
        try:
            await asyncio.to_thread(node.operator.delete_queue, f"{site.namespace}.q.default")
            await said(worker, f"has ended the consumer of {site.namespace}.q.default", times=1)
            await eventually(lambda: not is_ready(pool.environment))
            ill = pool.asked("--ready")
        finally:
            await asyncio.to_thread(node.operator.permit)

        assert healthy.returncode == 0, healthy.stdout + healthy.stderr
        assert "no live consumer on default" in ill.stdout + ill.stderr
        await eventually(lambda: is_ready(pool.environment))
        await done(site, worker, *await site.defer("do.this", "ok"))
