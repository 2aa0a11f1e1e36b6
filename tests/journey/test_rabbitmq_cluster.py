"""A cluster of three private RabbitMQ nodes: that it is one, can be torn and healed, and carries the bridge."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator

import aio_pika
import pytest

from bridge.brokers.contract import Broker
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.ledger import Dead
from tests.contract.acts import a_letter, an_event, consuming, entries_of, take
from tests.contract.rabbitmq_namespaces import with_default
from tests.rabbitmq_cluster import SIZE, RabbitCluster
from tests.rabbitmq_node import RabbitNode, RabbitNodeError

pytestmark = pytest.mark.rabbitmq


FEEDER = """
[sys:{act}(Pid) || {{_, Pid, _, _}} <- supervisor:which_children(osiris_replica_reader_sup),
    Fed <- tuple_to_list(sys:get_state(Pid)), is_pid(Fed), node(Fed) =:= '{fed}'].
"""
"""For the node that leads a stream: what sends the stream to the node `fed` is told to `suspend` or to `resume`."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RabbitCluster]:
    """A cluster to be hurt; each test leaves it whole."""
    with RabbitCluster() as cluster:
        yield cluster


@pytest.fixture
def namespace() -> str:
    """A namespace that nobody else uses."""
    return f"c{uuid.uuid4().hex[:10]}"


@pytest.fixture
async def broker(cluster: RabbitCluster, namespace: str) -> AsyncIterator[Broker]:
    """A broker that knows all three addresses, with the queue `default`."""
    async with with_default(cluster.url, namespace) as broker:
        yield broker


async def dead(broker: Broker, name: str) -> None:
    """Make a dead letter."""
    await broker.publisher().publish(an_event(name))
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)
    await delivery.dead_letter(a_letter(delivery))
    await consumer.close()


async def letters(broker: Broker) -> list[str]:
    """The names of the ledger's letters."""
    return [entry.event_name for entry in await entries_of(broker) if isinstance(entry, Dead)]


async def serves(node: RabbitNode) -> bool:
    """Whether a client can connect to this very node within a second."""
    try:
        async with asyncio.timeout(1.0), await aio_pika.connect(node.url):
            return True
    except (OSError, TimeoutError, aio_pika.exceptions.AMQPError):
        return False


async def comes_to(node: RabbitNode, *, serving: bool, within: float = 30.0) -> None:
    """Wait until the node serves clients, or until it does not."""
    end = time.monotonic() + within
    while await serves(node) is not serving:
        assert time.monotonic() < end, f"{node.name}: serving is still {not serving}"


def test_all_three_serve(cluster: RabbitCluster) -> None:
    """Each node takes connections at its own address, and the URL names all of them."""
    assert all(asyncio.run(serves(node)) for node in cluster.nodes)
    assert all(f"127.0.0.1:{node.port}" in cluster.url for node in cluster.nodes)


async def test_every_queue_is_on_all_nodes(cluster: RabbitCluster, broker: Broker, namespace: str) -> None:
    """What the bridge declares on a cluster has a member on every node: the queues, the ladder and the ledger."""
    answer = await asyncio.to_thread(cluster.nodes[0].ctl, "list_queues", "--formatter", "json", "name", "members")
    members = {row["name"]: len(row["members"]) for row in json.loads(answer) if row["name"].startswith(namespace)}
    assert {f"{namespace}.q.default", f"{namespace}.delay.00", f"{namespace}.dead"} <= set(members)
    assert set(members.values()) == {SIZE}


async def test_a_node_that_is_cut_off_serves_nobody_until_it_is_healed(
    cluster: RabbitCluster, broker: Broker, namespace: str
) -> None:
    """It pauses, its clients go to the others, and it comes back by itself."""
    queue = f"{namespace}.q.default"
    publisher = broker.publisher()
    await publisher.publish(an_event())
    alone = await asyncio.to_thread(cluster.leader_of, queue)

    await asyncio.to_thread(cluster.cut_off, alone)

    try:
        await comes_to(alone, serving=False)
        await publisher.publish(an_event(), within=30)
        assert await asyncio.to_thread(cluster.leader_of, queue) is not alone
    finally:
        await asyncio.to_thread(cluster.heal, alone)
    await comes_to(alone, serving=True)
    await asyncio.to_thread(cluster.await_whole)


async def test_the_ledger_is_read_where_it_has_all(cluster: RabbitCluster, broker: Broker, namespace: str) -> None:
    """A node whose replica of the ledger stands still, as one lags that has just come back, hides no letter."""
    stream = f"{namespace}.dead"
    await dead(broker, "before")
    leader = await asyncio.to_thread(cluster.leader_of, stream)
    lagging = next(node for node in cluster.nodes if node is not leader)
    await asyncio.to_thread(leader.ctl, "eval", FEEDER.format(act="suspend", fed=lagging.name))
    try:
        await dead(broker, "behind")
        assert await letters(RabbitBroker.from_url(lagging.url, namespace)) == ["before"]

        for _ in range(10):  # whatever node it comes to first
            assert await letters(broker) == ["before", "behind"]
    finally:
        await asyncio.to_thread(leader.ctl, "eval", FEEDER.format(act="resume", fed=lagging.name))


async def test_a_queue_that_is_not_there_has_no_leader(cluster: RabbitCluster) -> None:
    """The error names the queue."""
    with pytest.raises(RabbitNodeError, match=r"no\.such\.queue"):
        await asyncio.to_thread(cluster.leader_of, "no.such.queue")


def test_nothing_is_left() -> None:
    """After remove() all files are gone, of a cluster that never started too; a second remove() does nothing."""
    cluster = RabbitCluster()
    directories = [cluster.directory, *(node.directory for node in cluster.nodes)]

    cluster.remove()
    cluster.remove()

    assert not any(directory.exists() for directory in directories)
