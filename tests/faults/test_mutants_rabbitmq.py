"""The judge catches each mutant on RabbitMQ. Each mutant has an ordeal that the unchanged program passes."""

import asyncio

import pytest

from bridge.brokers.rabbitmq.topology.names import Names
from tests.faults.account import ENDINGS
from tests.faults.conftest import all_but_the_first_long
from tests.faults.directed import Ordeal, broken, defer, noted, rules_broken, start_worker
from tests.faults.drain import end
from tests.faults.limits import STEP
from tests.faults.rules import LOST
from tests.faults.stage import HELD_BY_A_WORKER, THREADS, Stage
from tests.faults.stages import Stages
from tests.faults.whereabouts import messages
from tests.journey.site import eventually

pytestmark = pytest.mark.rabbitmq


async def swallow_publishes(stage: Stage, mutant: str | None) -> None:
    """Let the network accept publishes and then break, so that RabbitMQ never receives them."""
    await start_worker(stage)
    stage.start_publisher(mutant)
    await noted(stage, "effect", 20)
    stage.proxy.black_hole()
    await _requests_ended(stage, THREADS)
    stage.proxy.reset()
    stage.proxy.clear()
    stage.cut_off_all("black hole and reset")


async def publish_for_nobody(stage: Stage, mutant: str | None) -> None:
    """Publish events that match no queue."""
    stage.configure("[queues.other]", 'patterns = ["other.#"]')
    stage.start_publisher(mutant)
    await _requests_ended(stage, 20)


async def refuse_the_retry_copy(stage: Stage, mutant: str | None) -> None:
    """Withdraw the right to write, let an event fail, and kill the worker while it cannot publish the retry copy."""
    stage.configure("deadline = '60s'")
    failing = stage.site.directory / "failing.log"
    worker = await start_worker(stage, mutant)
    await defer(stage, "fail", f"fail:{failing}", "ok")
    await noted(stage, "attempt")
    _may_write(stage, "^$")
    failing.touch()
    await noted(stage, "failure")
    if mutant is not None:
        await eventually(lambda: _messages(stage) == 0, STEP, stage.report)
    killed = await stage.kill(worker)
    stage.hurt("retry copy refused, and SIGKILL of a worker", repeats=HELD_BY_A_WORKER, killed=(killed,))
    _may_write(stage, ".*")
    await start_worker(stage)


async def redrive_to_no_queue(stage: Stage, mutant: str | None) -> None:
    """Redrive a dead letter whose queue was deleted."""
    worker = await start_worker(stage)
    await defer(stage, "letter", "reject")
    await noted(stage, "failure")
    await end([worker])
    stage.node.operator.delete_queue(stage.queue)
    command = ("bridge-dlq", "redrive", "--all", "--yes")
    redrive = stage.site.run(*command) if mutant is None else stage.start_mutant(mutant, *command)
    await redrive.ended(STEP)
    assert "still open: 1 dead letter" in redrive.log
    await start_worker(stage)


async def kill_the_relay(stage: Stage, mutant: str | None) -> None:
    """Spool events while RabbitMQ is frozen, withdraw the right to write to the exchange of events, and kill a relay
    while it publishes the spooled events."""
    stage.configure("publish = 'spool'")
    await start_worker(stage)
    names = Names(stage.site.namespace)
    stage.node.pause()
    try:
        publisher = stage.start_publisher()
        await noted(stage, "ok", 20)
        killed = await stage.kill(publisher)
    finally:
        stage.node.resume()
    _may_write(stage, f"^(?!{names.events}$)")
    relay = stage.site.run("bridge-relay") if mutant is None else stage.start_mutant(mutant, "bridge-relay")
    await relay.says("ACCESS_REFUSED", within=STEP)
    relay.process.kill()
    await relay.ended(STEP)
    stage.hurt("SIGKILL of a publisher and of a relay", killed=(killed, relay.process.pid))
    _may_write(stage, ".*")
    healthy = stage.site.run("bridge-relay")
    await eventually(lambda: stage.spooled() == 0, STEP, lambda: healthy.log)
    await end([healthy])


ORDEALS: dict[str, tuple[Ordeal, str]] = {
    "confirms off": (swallow_publishes, "proxied"),
    "mandatory off": (publish_for_nobody, "rabbitmq"),
    "ack before the retry copy is confirmed": (refuse_the_retry_copy, "rabbitmq"),
    "redrive recorded before it is published": (redrive_to_no_queue, "rabbitmq"),
    "spool deleted before its confirm": (kill_the_relay, "rabbitmq"),
}
"""By mutant: the ordeal, and the name of its stage. Each of these mutants loses events."""


@pytest.mark.parametrize("mutant", all_but_the_first_long(ORDEALS))
def test_the_mutant_is_caught(stages: Stages, mutant: str) -> None:
    """The judge finds that the mutant loses events."""
    ordeal, on = ORDEALS[mutant]
    with stages.stage(on) as stage:
        assert LOST in asyncio.run(rules_broken(stage, ordeal, mutant))


@pytest.mark.parametrize("mutant", all_but_the_first_long(ORDEALS))
def test_the_program_passes(stages: Stages, mutant: str) -> None:
    """The unchanged program breaks no promise in the same ordeal."""
    ordeal, on = ORDEALS[mutant]
    with stages.stage(on) as stage:
        assert asyncio.run(broken(stage, ordeal, None)) == []


async def _requests_ended(stage: Stage, more: int) -> None:
    """Wait until this many more `defer()` calls have ended, with any result."""
    wanted = _count(stage) + more
    await eventually(lambda: _count(stage) >= wanted, STEP, stage.report)


def _count(stage: Stage) -> int:
    return sum(map(stage.count, ENDINGS))


def _may_write(stage: Stage, names: str) -> None:
    """Let the programs write only to exchanges and queues whose name matches this pattern."""
    stage.node.operator.permit(write=names)


def _messages(stage: Stage) -> int:
    """Return the number of messages in the queue, with unacknowledged ones."""
    counted = messages(stage).get(stage.queue)
    return 0 if counted is None else counted.total
