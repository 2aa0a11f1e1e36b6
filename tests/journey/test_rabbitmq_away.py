"""RabbitMQ restarted while an event waits for its retry. What else may befall it is judged in `tests/faults`."""

import asyncio
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.journey.site import Site
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def node() -> Iterator[RabbitNode]:
    """A node that this test may hurt."""
    with RabbitNode() as node:
        yield node


@pytest.fixture
def rabbit_site(node: RabbitNode, tmp_path: Path) -> Iterator[Site]:
    """A site on that node."""
    site = Site(tmp_path, node.url, f"j{uuid.uuid4().hex[:10]}")
    yield site
    site.end()  # its queues go with the node


async def test_a_policys_waits_come_in_order_across_a_restart_of_the_broker(
    node: RabbitNode, rabbit_site: Site
) -> None:
    """What waits for its time waits on the broker's disk, and comes neither early nor out of order."""
    rabbit_site.configure("retry = 'site_policies:patient'")
    await rabbit_site.defer("do.this", "fail")
    worker = rabbit_site.worker("--until-settled")
    await worker.says("ConnectionError")  # said when the retry is confirmed
    await asyncio.to_thread(node.restart)
    assert await worker.ended() == 0, worker.log
    effects = rabbit_site.effects()
    assert [effect.attempt for effect in effects] == [1, 2, 3]
    waits = [later.at - earlier.at for earlier, later in pairwise(effects)]
    assert all(waited >= asked for waited, asked in zip(waits, (12, 1), strict=True))
