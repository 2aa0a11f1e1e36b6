"""The conditions under which a worker ends by itself: `--until-empty`, `--until-settled` and `--idle-exit`."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bridge.brokers.contract.consuming import Backlog, Consumer
from bridge.errors import BrokerUnavailable
from worker.events.consumer import EventConsumer

LOOKED_EVERY = 0.1
"""Seconds between two questions to the broker."""

AGREED_FOR = 0.5
"""Seconds during which all answers must agree: a message on its way to this worker, or between two levels of RabbitMQ's
delay ladder, is counted nowhere."""

DOUBTED_FOR = 15.0
"""Seconds after an outage of the broker during which its counts are not believed: RabbitMQ says 0 for a quorum queue
that has no leader yet (`stat` in RabbitMQ's rabbit_quorum_queue.erl), and a node that boots elects them one by one."""


@dataclass(frozen=True, slots=True)
class Until:
    """The condition for the end of a worker; without any, it runs without limit.

    `empty`: no event is ready, and none runs in this worker. `settled`: in addition, no event waits for its time or
    runs elsewhere. `idle`: no event was begun or running for this many seconds. Only the queues that this worker serves
    count.
    """

    empty: bool = False
    settled: bool = False
    idle: float | None = None

    def reached(self, backlog: Mapping[str, Backlog], running: int) -> bool:
        """Return whether the queues are as empty as `empty` or `settled` asks for. `running` is how many events this
        worker holds."""
        if running or any(queue.ready for queue in backlog.values()):
            return False
        if self.settled:
            return not any(queue.waiting or queue.held for queue in backlog.values())
        return self.empty


async def reached(until: Until, events: EventConsumer, broker: Consumer, queues: Collection[str]) -> str:
    """Wait until the condition is met; return the reason. Wait without limit if there is no condition."""
    if until == Until():
        await asyncio.Event().wait()
    loop = asyncio.get_running_loop()
    taken, since = events.taken, loop.time()
    agreed_since: float | None = None
    doubted_until = since
    while True:
        await asyncio.sleep(LOOKED_EVERY)
        if broker.trouble:
            doubted_until = loop.time() + DOUBTED_FOR
        if events.running or events.taken != taken:
            taken, since, agreed_since = events.taken, loop.time(), None
            continue
        if until.idle is not None and loop.time() - since >= until.idle:
            return f"idle for {until.idle:g} s"
        if not (until.empty or until.settled):
            continue
        looked = loop.time()
        backlog = await _empty(until, events, broker, queues)
        if backlog is None or events.taken != taken or looked < doubted_until:
            agreed_since = None
            continue
        agreed_since = looked if agreed_since is None else agreed_since
        if looked - agreed_since >= AGREED_FOR:
            waiting = max((queue.waiting for queue in backlog.values()), default=0)
            return f"the queues are empty; {waiting} wait for their time" if waiting else "the queues are empty"


async def _empty(
    until: Until, events: EventConsumer, broker: Consumer, queues: Collection[str]
) -> Mapping[str, Backlog] | None:
    """Return the backlog of the queues if they are as empty as `until` asks for; None if they are not, or if the broker
    cannot be asked."""
    try:
        backlog = {name: queue for name, queue in (await broker.backlog()).items() if name in queues}
    except BrokerUnavailable:
        return None
    return backlog if until.reached(backlog, events.running) else None
