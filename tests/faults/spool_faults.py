"""Faults of RabbitMQ while publishers spool: no `defer()` may raise, and no event may stay in the spool."""

import asyncio
from dataclasses import replace

from bridge.publishing.relay import BATCH
from tests.faults import network_faults, node_faults, process_faults
from tests.faults.ordeal import TERMS, Fault
from tests.faults.stage import THREADS, Stage

SPOOLING = replace(TERMS, refusing=False)


def _spooling(fault: Fault) -> Fault:
    """Return the fault for a site that spools and runs a `bridge-relay` next to its publishers."""

    async def hurt(stage: Stage) -> None:
        if not stage.relays:
            await stage.start_relay()
        stage.circuit_opens()
        await fault.hurt(stage)

    return Fault(f"{fault.name}, spooling", hurt, on=fault.on, terms=SPOOLING, settings=("publish = 'spool'",))


async def kill_a_publisher_that_spools(stage: Stage) -> None:
    """Kill a publisher while the node is frozen. Other processes of the host publish the events that it has spooled."""
    async with node_faults.frozen(stage):
        await asyncio.sleep(stage.hold)
        pid = await stage.kill(stage.dice.choice(stage.publishers))
        stage.hurt("SIGKILL of a publisher", killed=(pid,))
    stage.start_publisher()


async def fork_a_publisher_that_spools(stage: Stage) -> None:
    """Let a publisher fork while the node is frozen and events are spooled: the circuit of each process opens."""
    async with node_faults.frozen(stage):
        await process_faults.fork_publisher(stage)
    stage.hurt("forks while RabbitMQ is frozen", copies=THREADS * (1 + process_faults.FORKS))


async def kill_the_relay(stage: Stage) -> None:
    """Freeze the node, and kill the relay when it publishes the spooled events after the node has resumed."""
    await node_faults.freeze(stage)
    await stage.replace_relay()
    stage.hurt("SIGKILL of bridge-relay", copies=BATCH)


OF_THE_NODE = tuple(
    _spooling(fault)
    for fault in (
        *(fault for fault in node_faults.FAULTS if fault.hurt in (node_faults.kill, node_faults.raise_memory_alarm)),
        Fault("SIGKILL of a publisher while RabbitMQ is frozen", kill_a_publisher_that_spools, on=("rabbitmq",)),
        Fault("forks of a publisher while RabbitMQ is frozen", fork_a_publisher_that_spools, on=("rabbitmq",)),
        Fault("SIGKILL of the relay", kill_the_relay, on=("rabbitmq",)),
    )
)
OF_THE_NETWORK = tuple(
    _spooling(fault)
    for fault in network_faults.FAULTS
    if fault.hurt in (network_faults.black_hole, network_faults.reset)
)
FAULTS = (*OF_THE_NODE, *OF_THE_NETWORK)
SHORT = (OF_THE_NODE, OF_THE_NETWORK)
