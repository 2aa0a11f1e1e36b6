"""Faults of a cluster of three RabbitMQ nodes. The programs know all three addresses."""

import asyncio

from bridge.brokers.rabbitmq.topology import Names
from tests.faults.ordeal import Fault
from tests.faults.stage import Stage
from tests.rabbitmq_cluster import RabbitCluster
from tests.rabbitmq_node import RabbitNode


async def kill_the_leader(stage: Stage) -> None:
    """The node that leads the queue is killed, stays away for a time, and comes back."""
    leader = await _leader(stage)
    stage.cut_off_all("SIGKILL of a queue's leader")
    await asyncio.to_thread(leader.kill)
    try:
        await asyncio.sleep(stage.hold)
    finally:
        await asyncio.to_thread(leader.start)


async def cut_off_the_leader(stage: Stage) -> None:
    """The node that leads the queue is parted from the two others, and comes back."""
    leader = await _leader(stage)
    stage.cut_off_all("a node cut off")
    await asyncio.to_thread(_cluster(stage).cut_off, leader)
    try:
        await asyncio.sleep(stage.hold)
    finally:
        await asyncio.to_thread(_cluster(stage).heal, leader)
    await asyncio.to_thread(leader.await_ready)


async def roll(stage: Stage) -> None:
    """One node after the other is restarted."""
    for node in _cluster(stage).nodes:
        stage.cut_off_all(f"restart of {node.name}")
        await asyncio.to_thread(node.restart)


def _cluster(stage: Stage) -> RabbitCluster:
    assert stage.cluster is not None
    return stage.cluster


async def _leader(stage: Stage) -> RabbitNode:
    queue = Names(stage.site.namespace).queue("default")
    return await asyncio.to_thread(_cluster(stage).leader_of, queue)


FAULTS = (
    Fault("leader of a queue killed", kill_the_leader, on=("cluster",), workers=2),
    Fault("node cut off and healed", cut_off_the_leader, on=("cluster",), workers=2),
    Fault("rolling restart", roll, on=("cluster",), workers=2),
)
