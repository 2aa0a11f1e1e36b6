"""Faults while events are steered: an order, priorities, expiries, cancellations and schedules hold over kills and a
restart of RabbitMQ.

Each round of an ordeal defers some events of its own next to those of the publishers, and does a fault meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any

from bridge.handling import Priority
from tests.faults import cluster_faults, node_faults, process_faults
from tests.faults.directed import all_run, cancel, defer, scheduled
from tests.faults.drain import end
from tests.faults.history import Following
from tests.faults.ordeal import Fault, alone
from tests.faults.share_rules import A_LOW_ONE
from tests.faults.stage import Stage

Hurt = Callable[[], Awaitable[None]]
"""Does the fault once."""

IN_ORDER = 20
ORDERED = ("[queues.orders]", 'patterns = ["judged.ordered.#"]', "ordered = true", "[queues.default]")

FLOOD = 60
"""Events of each priority."""
URGENT = ("[queues.urgent]", 'patterns = ["judged.urgent.#"]', "[queues.default]")

EXPIRES = 0.5
"""Seconds: an expiry between the attempts of an event."""

DUE = 8.0
"""Seconds until cancelled events are due, so that the cancellation holds by then."""


async def keep_order(stage: Stage, hurt: Hurt) -> None:
    """Let events of an ordered queue run, of which some fail once."""
    name = _name(stage, "ordered")
    with Following(stage.path) as following:
        keys = []
        for fails, alike in groupby(range(IN_ORDER), lambda number: number % 7 == 3):
            first, *others = alike
            steps = ("fail", "ok") if fails else ("ok",)
            keys += await defer(stage, f"{name}.{first}", *steps, count=1 + len(others), ordered="orders")
        await hurt()
        await all_run(stage, following, keys)


async def keep_shares(stage: Stage, hurt: Hurt) -> None:
    """Let a flood of events of each priority run."""
    name, over = _name(stage, "urgent"), stage.site.directory / f"{stage.count('hurt')}.log"
    with Following(stage.path) as following:
        keys = []
        for priority in reversed(Priority):
            keys += await defer(stage, f"{name}.{priority}", f"pace:{over}", count=FLOOD, priority=priority)
        await hurt()
        await all_run(stage, following, keys, least=2 * A_LOW_ONE)
        over.touch()


async def let_expire(stage: Stage, hurt: Hurt) -> None:
    """Let events fail and expire before their last attempt."""
    await defer(stage, _name(stage, "expiring"), "fail", "fail", "ok", count=IN_ORDER, expires=EXPIRES)
    await hurt()


async def withdraw(stage: Stage, hurt: Hurt) -> None:
    """Cancel every other of some events before they are due."""
    name = _name(stage, "withdrawn")
    with Following(stage.path) as following:
        keys = await defer(stage, name, "ok", count=IN_ORDER, delay=DUE)
        await cancel(stage, *keys[::2])
        await hurt()
        await all_run(stage, following, keys[1::2])


async def run_schedules(stage: Stage, hurt: Hurt) -> None:
    """Replace the workers by two that run a schedule, and then by one that runs none: the drain could not end."""
    before = list(stage.workers)
    stage.configure(*scheduled(stage, _name(stage, "tick")))
    await asyncio.gather(*(stage.start_worker() for _ in range(2)))
    await _end(stage, before)
    await stage.reaches("moment", 2)
    await hurt()
    await stage.reaches("moment", 3)
    before = list(stage.workers)
    stage.configure()
    await stage.start_worker()
    await _end(stage, before)


async def _end(stage: Stage, workers: list[Any]) -> None:
    for worker in workers:
        stage.workers.remove(worker)
    await end(workers)


def _name(stage: Stage, kind: str) -> str:
    """Return a new name of events."""
    return f"{kind}.{stage.count('hurt')}x{stage.dice.getrandbits(24):x}"


def _steering(
    what: str,
    steer: Callable[[Stage, Hurt], Awaitable[None]],
    *hurts: Callable[[Stage], Awaitable[None]],
    settings: tuple[str, ...] = (),
) -> tuple[Fault, ...]:
    """Return the faults for a site in which events are steered."""

    def made(fault: Fault) -> Fault:
        async def hurt(stage: Stage) -> None:
            await steer(stage, lambda: fault.hurt(stage))

        return Fault(f"{fault.name}, {what}", hurt, on=fault.on, workers=2, settings=settings)

    faults = (*process_faults.FAULTS, *node_faults.FAULTS, *cluster_faults.FAULTS)
    return tuple(made(fault) for fault in faults if fault.hurt in hurts)


KILLS = (process_faults.kill_worker, node_faults.restart)

CLUSTER = (cluster_faults.kill_the_leader, cluster_faults.roll)
"""Not a node that is cut off: its worker may go on with the head for the time of a heartbeat."""

ORDER = _steering("with an ordered queue", keep_order, *KILLS, process_faults.end_workers, *CLUSTER, settings=ORDERED)
SHARES = _steering("with priorities", keep_shares, process_faults.kill_worker, settings=URGENT)
EXPIRIES = _steering("with events that expire", let_expire, *KILLS)
CANCELLATIONS = _steering("with cancellations", withdraw, *KILLS)
SCHEDULES = _steering("with a schedule", run_schedules, *KILLS)

FAULTS = (*ORDER, *SHARES, *EXPIRIES, *CANCELLATIONS, *SCHEDULES)
SHORT = alone(each[0] for each in (ORDER, SHARES, EXPIRIES, CANCELLATIONS, SCHEDULES))
"""One fault of each kind. The others run at full length alone: `make faults`."""
