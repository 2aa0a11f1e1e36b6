"""RabbitMQ restarted, and its connections closed, under load: all comes back by itself, and nothing is lost."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.journey.site import Program, Site, eventually
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq


def killed(node: RabbitNode) -> None:
    """It is killed, and started again."""
    node.kill()
    node.start()


def without_connections(node: RabbitNode) -> None:
    """It closes every connection from its side."""
    node.ctl("close_all_connections", "for a test")


FAULTS: dict[str, Callable[[RabbitNode], None]] = {"killed": killed, "closes connections": without_connections}


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    """A node that these tests may hurt."""
    with RabbitNode() as node:
        yield node


@pytest.fixture
def rabbit_site(node: RabbitNode, tmp_path: Path) -> Iterator[Site]:
    """A site on that node."""
    site = Site(tmp_path, node.url, f"j{uuid.uuid4().hex[:10]}")
    yield site
    site.remove()


async def begun(site: Site, worker: Program, count: int) -> None:
    """Wait until so many listeners have begun."""
    await eventually(lambda: len(site.effects(began=True)) >= count, report=lambda: worker.log)


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


@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_lost_under_load(node: RabbitNode, rabbit_site: Site, fault: str) -> None:
    """What is published and what is replayed while the broker is hurt ends in an effect or in the ledger; what runs
    twice is at most what was held."""
    ids = set(await rabbit_site.defer("do.this", "sleep:0.01", count=200))
    ids |= set(await rabbit_site.defer("do.this", "fail", "ok", count=30))
    ids |= set(await rabbit_site.defer("do.this", "reject", count=20))
    worker = rabbit_site.worker()
    await begun(rabbit_site, worker, 60)
    hurting = asyncio.create_task(asyncio.to_thread(FAULTS[fault], node))
    ids |= set(await rabbit_site.defer("do.this", "sleep:0.01", count=300))
    await hurting
    await eventually(
        lambda: {effect.id for effect in rabbit_site.effects()} == ids, within=60, report=lambda: worker.log
    )
    worker.process.terminate()
    assert await worker.ended() == 0, worker.log
    rest = rabbit_site.worker("--until-settled")
    assert await rest.ended() == 0, rest.log
    dead = {letter.envelope.event.id for letter in await rabbit_site.letters()}
    delivered = Counter(effect.id for effect in rabbit_site.effects(began=False))
    assert dead | set(delivered) == ids
    assert len(dead) == 20
    assert sum(count - 1 for count in delivered.values()) <= 40
