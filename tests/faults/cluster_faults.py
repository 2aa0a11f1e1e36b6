"""Faults of a cluster of three RabbitMQ nodes. The programs know all three addresses."""

import asyncio
from dataclasses import replace

from tests.faults.ordeal import TERMS, Fault
from tests.faults.stage import Stage
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
    await asyncio.to_thread(stage.cluster.cut_off, leader)
    try:
        await asyncio.sleep(stage.hold)
    finally:
        await asyncio.to_thread(stage.cluster.heal, leader)
    await asyncio.to_thread(leader.await_ready)


async def roll(stage: Stage) -> None:
    """One node after the other is restarted."""
    for node in stage.cluster.nodes:
        stage.cut_off_all(f"restart of {node.name}")
        await asyncio.to_thread(node.restart)


async def _leader(stage: Stage) -> RabbitNode:
    return await asyncio.to_thread(stage.cluster.leader_of, stage.queue)


FORGETFUL = replace(TERMS, keeping=False)
"""RabbitMQ's streams lose what they have confirmed when their leader changes: rabbitmq-server#9457. What is lost counts
in the figures; that nothing else is lost than letters is held against us."""

FAULTS = tuple(
    Fault(name, hurt, on=("cluster",), terms=FORGETFUL, workers=2)
    for name, hurt in (
        ("leader of a queue killed", kill_the_leader),
        ("node cut off and healed", cut_off_the_leader),
        ("rolling restart", roll),
    )
)
SHORT = (FAULTS,)
