"""The end of an ordeal: what is under way is finished, the workers end, and what is left anywhere is noted."""

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence

import aio_pika

from bridge.brokers.contract import Consumer
from bridge.brokers.rabbitmq.topology import Names, message_count
from bridge.errors import BrokerUnavailable
from bridge.ledger import Dead, Discarded, Entry, Redriven
from tests.faults.stage import Stage
from tests.journey.site import Program

SECONDS = 120.0
"""How long a drain may take."""

AGREED_FOR = 1.0
"""Seconds through which the queues must look empty: between two levels of the delay ladder nobody sees a message."""

EXPECTED = ("*.py", "*.toml", "*.log", "history", "bridge.db", "__pycache__", "control")
"""The files of a site whose programs have all ended."""


async def drain(stage: Stage) -> None:
    """Let the workers that are alive finish everything, end them, and note the ledger and what is left over."""
    await _end(stage.publishers)
    async with stage.site.broker() as broker:
        consumer = broker.consumer()
        await _until_empty(consumer)
        await _end(stage.workers)
        left = await _left(consumer)
        async for entry in broker.ledger().entries():
            _note(stage, entry)
    unrouted = await _unrouted(stage) if stage.site.broker_url.startswith("amqp") else 0
    stage.note("drained", **left, unrouted=unrouted, processes=stage.site.processes, files=_files(stage))


async def _end(programs: Sequence[Program]) -> None:
    alive = [program for program in programs if program.process.poll() is None]
    for program in alive:
        program.signal(signal.SIGTERM)
    for program in alive:
        await program.ended()


async def _until_empty(consumer: Consumer) -> None:
    end, since = time.monotonic() + SECONDS, time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < AGREED_FOR:
        if any((await _left(consumer)).values()):
            since = time.monotonic()
        await asyncio.sleep(0.1)


async def _left(consumer: Consumer) -> Mapping[str, int]:
    """Return what all queues hold together; a broker that cannot be asked holds everything still."""
    try:
        backlog = (await consumer.backlog()).values()
    except BrokerUnavailable:
        return {"unreachable": 1}
    return {
        "ready": sum(queue.ready for queue in backlog),
        "held": sum(queue.held for queue in backlog),
        "waiting": max((queue.waiting for queue in backlog), default=0),
    }


def _note(stage: Stage, entry: Entry) -> None:
    match entry:
        case Dead(number=number, event_name=name, reason=reason):
            stage.note("dead", key=name.removeprefix("judged."), number=number, reason=reason)
        case Redriven(letter=letter):
            stage.note("redriven", number=letter)
        case Discarded(letter=letter):
            stage.note("discarded", number=letter)


async def _unrouted(stage: Stage) -> int:
    async with await aio_pika.connect(stage.site.broker_url) as connection:
        return await message_count(await connection.channel(), Names(stage.site.namespace).unrouted)


def _files(stage: Stage) -> list[str]:
    """Return the names of the files that the programs have left."""
    directory = stage.site.directory
    expected = {path for pattern in EXPECTED for path in directory.glob(pattern)}
    left = [path for path in directory.iterdir() if path not in expected]
    return sorted(path.name for path in (*left, *(directory / "control").glob("*")))
