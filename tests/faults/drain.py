"""The end of an ordeal: the workers finish all events and end, and everything that is left over is noted."""

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Consumer
from bridge.brokers.rabbitmq.connection.address import address
from bridge.brokers.rabbitmq.connection.connecting import connect
from bridge.brokers.rabbitmq.topology.declaring import message_count
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.errors import BrokerUnavailable
from bridge.ledger import Dead, Discarded, Entry, Redriven
from tests.faults.limits import DRAIN, STEP
from tests.faults.stage import Stage
from tests.faults.whereabouts import backlogs, unsettled
from tests.journey.site import Program

AGREED_FOR = 1.0
"""Seconds for which the queues of RabbitMQ, and an outbox with the queues, must stay empty. A message on its way to a
consumer is in no count for a moment, and an event that moves from the outbox to its queue may be counted in neither."""

EXPECTED = ("*.py", "*.toml", "*.log", "history", "bridge.db", "bridge-spool.db", "__pycache__", "control")
"""The files that a site may have when all its programs have ended."""


async def drain(stage: Stage) -> None:
    """Let the running workers finish all events, end them, and note the ledger and everything that is left over."""
    await end((*stage.publishers, *stage.callers))
    async with stage.site.broker() as broker:
        consumer = broker.consumer()
        await until_empty(stage, consumer)
        await end((*stage.workers, *stage.relays))
        left = await _left(consumer)
        await note_ledger(stage, broker)
    await _note_stored(stage)
    unrouted = await _unrouted(stage) if stage.site.broker_url.startswith("amqp") else 0
    elsewhere: dict[str, object] = {"unsettled": unsettled(stage), "spooled": stage.spooled(), "unrouted": unrouted}
    elsewhere["outbox"] = await _in_outbox(stage)
    if any((*left.values(), *elsewhere.values())):
        elsewhere["where"] = await backlogs(stage)
    stage.note("drained", **left, **elsewhere, processes=stage.site.processes, files=_files(stage))


async def end(programs: Sequence[Program]) -> None:
    """Send SIGTERM to the programs that still run, and wait until they have ended."""
    alive = [program for program in programs if program.process.poll() is None]
    for program in alive:
        program.signal(signal.SIGTERM)
    for program in alive:
        await program.ended(STEP)


async def until_empty(stage: Stage, consumer: Consumer) -> None:
    """Wait until the queues are empty and no delivery is unacknowledged, for at most `DRAIN`."""
    end, since = time.monotonic() + DRAIN, time.monotonic()
    agreed_for = AGREED_FOR if stage.nodes or stage.database else 0.0
    while time.monotonic() < end:
        outside = stage.spooled() or await _in_outbox(stage)
        if outside or any((await _left(consumer)).values()) or await asyncio.to_thread(unsettled, stage):
            since = time.monotonic()
        elif time.monotonic() - since >= agreed_for:
            return
        await asyncio.sleep(0.1)


async def _in_outbox(stage: Stage) -> int:
    return await asyncio.to_thread(stage.database.waiting) if stage.database else 0


async def _note_stored(stage: Stage) -> None:
    if stage.database:
        for known in await asyncio.to_thread(stage.database.stored):
            stage.note("stored", **known)


async def _left(consumer: Consumer) -> Mapping[str, int]:
    """Return the backlog of all queues together. A broker that cannot be reached counts as not empty."""
    try:
        backlog = (await consumer.backlog()).values()
    except BrokerUnavailable:
        return {"unreachable": 1}
    return {
        "ready": sum(queue.ready for queue in backlog),
        "held": sum(queue.held for queue in backlog),
        "waiting": max((queue.waiting for queue in backlog), default=0),
    }


async def note_ledger(stage: Stage, broker: Broker) -> None:
    """Note every entry of the ledger in the history."""
    async for entry in broker.ledger().entries():
        _note(stage, entry)


def _note(stage: Stage, entry: Entry) -> None:
    match entry:
        case Dead(number=number, event_name=name, reason=reason):
            stage.note("dead", key=name.removeprefix("judged."), number=number, reason=reason)
        case Redriven(letter=letter):
            stage.note("redriven", number=letter)
        case Discarded(letter=letter):
            stage.note("discarded", number=letter)


async def _unrouted(stage: Stage) -> int:
    async with await connect(address(stage.site.broker_url)) as connection:
        return await message_count(await connection.channel(), Names(stage.site.namespace).unrouted)


def _files(stage: Stage) -> list[str]:
    """Return the names of the unexpected files that the programs have left."""
    directory = stage.site.directory
    expected = {path for pattern in EXPECTED for path in directory.glob(pattern)}
    left = [path for path in directory.iterdir() if path not in expected]
    return sorted(path.name for path in (*left, *(directory / "control").glob("*")))
