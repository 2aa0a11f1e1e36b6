"""When a worker ends by itself: what `--until-empty`, `--until-settled` and `--idle-exit` mean."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bridge.brokers.contract import Backlog, Consumer
from bridge.errors import BrokerUnavailable
from worker.consumer import EventConsumer

LOOKED_EVERY = 0.1
"""Seconds between two looks at the broker."""

AGREED_FOR = 0.5
"""Seconds through which all looks must agree: a message that is on its way to us, or between two levels of RabbitMQ's
delay ladder, is counted nowhere."""


@dataclass(frozen=True, slots=True)
class Until:
    """`empty`: end when nothing is ready and nothing runs here. `settled`: when, besides, nothing waits for its time.
    `idle`: when nothing was begun or running for so many seconds. All unset: go on for ever. Only the queues that this
    worker serves count."""

    empty: bool = False
    settled: bool = False
    idle: float | None = None

    def reached(self, backlog: Mapping[str, Backlog], running: int) -> bool:
        """Tell whether the queues are as empty as was asked for."""
        if running or any(queue.ready for queue in backlog.values()):
            return False
        if self.settled:
            return not any(queue.waiting or queue.held for queue in backlog.values())
        return self.empty


async def reached(until: Until, events: EventConsumer, broker: Consumer, queues: Collection[str]) -> str:
    """Wait until it is time to end, and say why. Never returns where nothing was asked for."""
    loop = asyncio.get_running_loop()
    taken, since = events.taken, loop.time()
    agreed_since: float | None = None
    while True:
        await asyncio.sleep(LOOKED_EVERY)
        if events.running or events.taken != taken:
            taken, since, agreed_since = events.taken, loop.time(), None
            continue
        if until.idle is not None and loop.time() - since >= until.idle:
            return f"idle for {until.idle:g} s"
        if not (until.empty or until.settled):
            continue
        looked = loop.time()
        backlog = await _empty(until, events, broker, queues)
        if backlog is None or events.taken != taken:
            agreed_since = None
            continue
        agreed_since = looked if agreed_since is None else agreed_since
        if looked - agreed_since >= AGREED_FOR:
            waiting = max((queue.waiting for queue in backlog.values()), default=0)
            return f"the queues are empty; {waiting} wait for their time" if waiting else "the queues are empty"


async def _empty(
    until: Until, events: EventConsumer, broker: Consumer, queues: Collection[str]
) -> Mapping[str, Backlog] | None:
    """Return what the queues hold where they are as empty as was asked for; None where not, or where nobody can say."""
    try:
        backlog = {name: queue for name, queue in (await broker.backlog()).items() if name in queues}
    except BrokerUnavailable:
        return None
    return backlog if until.reached(backlog, events.running) else None
