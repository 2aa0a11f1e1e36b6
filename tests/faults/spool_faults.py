"""Faults of RabbitMQ before publishers that spool: no request may be refused, and nothing may stay in the spool."""

import asyncio
from dataclasses import replace

from bridge.brokers.spool.relay import BATCH
from tests.faults import network_faults, node_faults, process_faults
from tests.faults.ordeal import TERMS, Fault
from tests.faults.stage import THREADS, Stage

SPOOLING = replace(TERMS, refusing=False)


def _spooling(fault: Fault) -> Fault:
    """Return the fault as it is done to a site that spools, and has a `bridge-relay` beside its publishers."""

    async def hurt(stage: Stage) -> None:
        if not stage.relays:
            await stage.start_relay()
        stage.circuit_opens()
        await fault.hurt(stage)

    return Fault(f"{fault.name}, spooling", hurt, on=fault.on, terms=SPOOLING, settings=("publish = 'spool'",))


async def kill_a_publisher_that_spools(stage: Stage) -> None:
    """A publisher is killed while the node is frozen; others of the host publish what it has left in the spool."""
    async with node_faults.frozen(stage):
        await asyncio.sleep(stage.hold)
        pid = await stage.kill(stage.dice.choice(stage.publishers))
        stage.hurt("SIGKILL of a publisher", killed=(pid,))
    stage.start_publisher()


async def fork_a_publisher_that_spools(stage: Stage) -> None:
    """A publisher forks while the node is frozen and its events are spooled: the circuit of each process opens."""
    async with node_faults.frozen(stage):
        await process_faults.fork_publisher(stage)
    stage.hurt("forks behind a frozen RabbitMQ", copies=THREADS * (1 + process_faults.FORKS))


async def kill_the_relay(stage: Stage) -> None:
    """The node is away, and the relay that has what is spooled in its hands when it is back is killed."""
    await node_faults.freeze(stage)
    await stage.replace_relay()
    stage.hurt("SIGKILL of bridge-relay", copies=BATCH)


OF_THE_NODE = tuple(
    _spooling(fault)
    for fault in (
        *(fault for fault in node_faults.FAULTS if fault.hurt in (node_faults.kill, node_faults.raise_memory_alarm)),
        Fault("SIGKILL of a publisher behind a frozen RabbitMQ", kill_a_publisher_that_spools, on=("rabbitmq",)),
        Fault("forks of a publisher behind a frozen RabbitMQ", fork_a_publisher_that_spools, on=("rabbitmq",)),
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
