"""Faults of a cluster of three RabbitMQ nodes. The programs know all three addresses."""

import asyncio

from tests.faults.ordeal import Fault
from tests.faults.stage import Stage
from tests.rabbitmq_node import RabbitNode


async def kill_the_leader(stage: Stage) -> None:
    """Kill the node that leads the queue, and start it again after `hold` seconds."""
    leader = await _leader(stage)
    stage.cut_off_all("SIGKILL of a queue's leader")
    await asyncio.to_thread(leader.kill)
    try:
        await asyncio.sleep(stage.hold)
    finally:
        await asyncio.to_thread(leader.start)


async def cut_off_the_leader(stage: Stage) -> None:
    """Cut the node that leads the queue off from the two others for `hold` seconds."""
    leader = await _leader(stage)
    stage.cut_off_all("a node cut off")
    await asyncio.to_thread(stage.cluster.cut_off, leader)
    try:
        await asyncio.sleep(stage.hold)
    finally:
        await asyncio.to_thread(stage.cluster.heal, leader)
    await asyncio.to_thread(leader.await_ready)


async def roll(stage: Stage) -> None:
    """Restart one node after the other."""
    for node in stage.cluster.nodes:
        stage.cut_off_all(f"restart of {node.name}")
        await asyncio.to_thread(node.restart)


async def _leader(stage: Stage) -> RabbitNode:
    return await asyncio.to_thread(stage.cluster.leader_of, stage.queue)


FAULTS = (
    Fault("leader of a queue killed", kill_the_leader, on=("cluster",), workers=2),
    Fault("node cut off and healed", cut_off_the_leader, on=("cluster",), workers=2),
    Fault("rolling restart", roll, on=("cluster",), workers=2),
)
SHORT = (FAULTS,)
