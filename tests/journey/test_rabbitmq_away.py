"""A restart of RabbitMQ while an event waits for its retry. `tests/faults` has the other failures of RabbitMQ."""

import asyncio
from itertools import pairwise

import pytest

from tests.journey.site import Site
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq


async def test_a_policys_waits_come_in_order_across_a_restart_of_the_broker(node: RabbitNode, node_site: Site) -> None:
    """Waiting retries survive a restart of the broker, and come neither early nor out of order."""
    node_site.configure("retry = 'site_policies:patient'")
    await node_site.defer("do.this", "fail")
    worker = node_site.worker("--until-settled")
    await worker.says("ConnectionError")  # logged when the retry is confirmed
    await asyncio.to_thread(node.restart)
    assert await worker.ended() == 0, worker.log
    effects = node_site.effects()
    assert [effect.attempt for effect in effects] == [1, 2, 3]
    waits = [later.at - earlier.at for earlier, later in pairwise(effects)]
    assert all(waited >= asked for waited, asked in zip(waits, (12, 1), strict=True))
