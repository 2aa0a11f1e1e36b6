"""The cluster of three private RabbitMQ nodes: it can be partitioned and healed, and the bridge works on it."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import aio_pika
import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.publishing import Publisher
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.deadline import Deadline
from bridge.errors import CallError
from bridge.ledger import Dead
from tests.contract.acts import a_letter, an_event, consuming, entries_of, take
from tests.contract.calling import question, serving
from tests.contract.rabbitmq_namespaces import with_default
from tests.deadlines import within
from tests.limits import PATIENCE
from tests.rabbitmq_cluster import SIZE, RabbitCluster
from tests.rabbitmq_node import RabbitNode, RabbitNodeError

pytestmark = pytest.mark.rabbitmq


FEEDER = """
[sys:{act}(Pid) || {{_, Pid, _, _}} <- supervisor:which_children(osiris_replica_reader_sup),
    Fed <- tuple_to_list(sys:get_state(Pid)), is_pid(Fed), node(Fed) =:= '{fed}'].
"""
"""An Erlang expression for the node that leads a stream. `act` is `suspend` or `resume`: it applies to the processes
that replicate the stream to the node `fed`."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RabbitCluster]:
    """A cluster that tests may break. Each test leaves it healed."""
    with RabbitCluster() as cluster:
        yield cluster


@pytest.fixture
def namespace() -> str:
    """A namespace for one test."""
    return f"c{uuid.uuid4().hex[:10]}"


@pytest.fixture
async def broker(cluster: RabbitCluster, namespace: str) -> AsyncIterator[Broker]:
    """A broker with all three addresses and the queue `default`."""
    async with with_default(cluster.url, namespace) as broker:
        yield broker


async def dead(broker: Broker, name: str) -> None:
    """Publish an event and dead-letter it."""
    await broker.publisher().publish(an_event(name))
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)
    await delivery.dead_letter(a_letter(delivery))
    await consumer.close()


async def letters(broker: Broker) -> list[str]:
    """Return the names of the ledger's dead letters."""
    return [entry.event_name for entry in await entries_of(broker) if isinstance(entry, Dead)]


async def serves(node: RabbitNode) -> bool:
    """Return True if a client can connect to this node within a second."""
    try:
        async with asyncio.timeout(1.0), await aio_pika.connect(node.url):
            return True
    except (OSError, TimeoutError, aio_pika.exceptions.AMQPError):
        return False


async def comes_to(node: RabbitNode, *, serving: bool, within: float = PATIENCE) -> None:
    """Wait until the node accepts clients, or until it does not, as `serving` says."""
    end = time.monotonic() + within
    while await serves(node) is not serving:
        assert time.monotonic() < end, f"{node.name}: serving is still {not serving}"


def test_all_three_serve(cluster: RabbitCluster) -> None:
    """Each node accepts connections at its own address, and the URL has all addresses."""
    assert all(asyncio.run(serves(node)) for node in cluster.nodes)
    assert all(f"127.0.0.1:{node.port}" in cluster.url for node in cluster.nodes)


async def test_every_queue_is_on_all_nodes(cluster: RabbitCluster, broker: Broker, namespace: str) -> None:
    """The queues, the delay ladder and the ledger have a member on every node."""
    answer = await asyncio.to_thread(cluster.nodes[0].ctl, "list_queues", "--formatter", "json", "name", "members")
    members = {row["name"]: len(row["members"]) for row in json.loads(answer) if row["name"].startswith(namespace)}
    assert {f"{namespace}.q.default", f"{namespace}.delay.00", f"{namespace}.dead"} <= set(members)
    assert set(members.values()) == {SIZE}


async def clients_of(node: RabbitNode) -> int:
    """Return the number of clients that are connected to the node."""
    return int(await asyncio.to_thread(node.eval, "length(rabbit_networking:local_connections())."))


async def publishing_at(node: RabbitNode, broker: Broker) -> Publisher:
    """Return a publisher that has published an event, `before`, on this node. Each connects to a random node."""
    while True:
        clients = await clients_of(node)
        publisher = broker.publisher()
        await publisher.publish(an_event("before"), deadline=within(PATIENCE))
        if await clients_of(node) > clients:
            return publisher
        await publisher.close()


@asynccontextmanager
async def cut_off(cluster: RabbitCluster, node: RabbitNode) -> AsyncIterator[None]:
    """Cut a node off in this block. RabbitMQ before 4.3 then pauses it; a newer one keeps its clients."""
    await asyncio.to_thread(cluster.cut_off, node)
    try:
        yield
    finally:
        await asyncio.to_thread(cluster.heal, node)
        await comes_to(node, serving=True)
        await asyncio.to_thread(cluster.await_whole)


async def test_clients_leave_a_node_that_is_cut_off(cluster: RabbitCluster, broker: Broker) -> None:
    """A publisher and an idle consumer whose node is cut off from its cluster continue on another node."""
    consumer = await consuming(broker, "default")
    (alone,) = [node for node in cluster.nodes if await clients_of(node)]
    publisher = await publishing_at(alone, broker)
    names = [(await take(consumer)).envelope.event.name]

    async with cut_off(cluster, alone):
        await publisher.publish(an_event("after"), deadline=within(PATIENCE))
        async with asyncio.timeout(PATIENCE):
            while "after" not in names:
                delivery = await consumer.receive()
                names.append(delivery.envelope.event.name)

    assert set(names) == {"before", "after"}
    assert consumer.live == {"default"}


async def test_the_ledger_is_read_from_a_full_replica(cluster: RabbitCluster, broker: Broker, namespace: str) -> None:
    """A node whose replica of the ledger lags, as after a restart, hides no letter."""
    stream = f"{namespace}.dead"
    await dead(broker, "before")
    leader = await asyncio.to_thread(cluster.leader_of, stream)
    lagging = next(node for node in cluster.nodes if node is not leader)
    await asyncio.to_thread(leader.eval, FEEDER.format(act="suspend", fed=lagging.name))
    try:
        await dead(broker, "behind")
        assert await letters(RabbitBroker.from_url(lagging.url, namespace)) == ["before"]

        for _ in range(10):  # it may connect to another node each time
            assert await letters(broker) == ["before", "behind"]
    finally:
        await asyncio.to_thread(leader.eval, FEEDER.format(act="resume", fed=lagging.name))


async def test_a_queue_that_is_not_there_has_no_leader(cluster: RabbitCluster) -> None:
    """The error names the queue."""
    with pytest.raises(RabbitNodeError, match=r"no\.such\.queue"):
        await asyncio.to_thread(cluster.leader_of, "no.such.queue")


def test_nothing_is_left() -> None:
    """remove() deletes all files, also of a cluster that was never started; a second remove() does nothing."""
    cluster = RabbitCluster()
    directories = [cluster.directory, *(node.directory for node in cluster.nodes)]

    cluster.remove()
    cluster.remove()

    assert not any(directory.exists() for directory in directories)


async def test_calls_go_on_while_the_node_of_their_queue_is_down(
    cluster: RabbitCluster, broker: Broker, namespace: str
) -> None:
    """The worker declares another queue on the node that it connects to, and callers find it."""
    caller = broker.caller()

    async def answered() -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(CallError):
                    asked = question(timeout=5.0)
                    await caller.ask(asked, ["default"], Deadline.after(asked.timeout, time.monotonic()))
                    return
                await asyncio.sleep(0.1)

    other = RabbitBroker.from_url(cluster.url, namespace)
    async with serving(other, "default"):
        await answered()
        line = await asyncio.to_thread(_home_of, cluster, namespace)
        home = next(node for node in cluster.nodes if node.name in line)
        await asyncio.to_thread(home.kill)
        try:
            await answered()
        finally:
            await asyncio.to_thread(home.start)
            await asyncio.to_thread(cluster.await_whole)
        await answered()
    await other.close()


def _home_of(cluster: RabbitCluster, namespace: str) -> str:
    """Return the line of the process that runs the queue of the calls, which has the name of its node."""
    lines = cluster.nodes[0].ctl("list_queues", "name", "pid").splitlines()
    return next(line for line in lines if line.startswith(f"{namespace}.calls.default\t"))
