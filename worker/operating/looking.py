"""Looks twice at the queues of a site: asks the broker for its counts, and the workers for theirs at the same time."""

import asyncio
from collections.abc import Sequence

from bridge.brokers.any_broker.roll_call import QUESTION, ask_site
from bridge.brokers.contract.broadcast import Broadcast
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.findings import counted
from bridge.errors import BridgeError
from bridge.logs import Content
from bridge.registry import SUBJECT, instances_of, roll_of
from worker.operating.looks import Look, Workers

ANSWER_AT_MOST = 0.7
"""The longest wait for the workers that have answered before."""

Looks = tuple[Look, Look, str]
"""Two looks, and which workers are not in them and why, as a sentence; empty if all are."""


async def two_looks(broker: Broker, queues: Sequence[str], seconds: float) -> Looks:
    """Look at these queues, and again `seconds` later. Raise `BrokerUnavailable` or `BrokerRefused` if the broker does
    not count, but not if the workers cannot be asked."""
    clock = asyncio.get_running_loop().time
    statuses, unasked = broker.broadcast(SUBJECT), ""
    known: frozenset[str] | None = None
    try:
        roll = await ask_site(broker)
        known = frozenset(each.instance for each in roll.workers)
        missing = len(roll.missing) + len(roll.unreadable)
        unasked = f"{counted(missing, 'worker')} cannot be asked: bridge-status --site" if missing else ""
    except BridgeError as error:
        unasked = f"the workers cannot be asked: {error}"

    async def look() -> Look:
        time = clock()
        counts, workers = await asyncio.gather(broker.operator().counts(queues), _asked(statuses, known))
        return Look(time, counts, workers)

    before = await look()
    await asyncio.sleep(before.time + seconds - clock())
    return before, await look(), unasked


async def _asked(statuses: Broadcast, known: frozenset[str] | None) -> Workers | None:
    """Return the statuses of the workers that are known, as soon as all have answered; None if they cannot be asked."""
    if not known:
        return None if known is None else {}

    def complete(answers: Sequence[Content]) -> bool:
        return instances_of(answers) >= known

    try:
        answers = await statuses.ask_all(QUESTION, 0, complete, ANSWER_AT_MOST)
    except BridgeError:
        return None
    return {each.instance: each for each in roll_of(answers, {}).workers}
