"""The roll call: ask every worker of a site for its status, and find those that are missing. Ask for the stacks of a
child."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from bridge.brokers.contract.broker import Broker
from bridge.logs import Content
from bridge.registry import (
    ANSWER_WITHIN,
    MISSING_FOR,
    PATIENCE,
    SUBJECT,
    Roll,
    Sighting,
    expected_of,
    instances_of,
    roll_of,
    sighting_of,
)
from bridge.site_logs import WORKERS
from bridge.stacks import ChildStacks, answers_in, question_for

QUESTION = {"ask": SUBJECT}
_SLACK = timedelta(hours=1)
"""The most by which the clocks of workers may differ: the log is read until a sighting is this much too old."""

STACKS_WITHIN = 3.0
"""The longest time in seconds to wait for the stacks of a child, which writes them within 0.5 s."""


async def ask_site(broker: Broker, patience: float = PATIENCE) -> Roll:
    """Read which workers should answer, and ask all meanwhile. It takes some 0.3 s if they answer. If not all do, they
    are asked again, and have up to `patience` seconds more. Raise `BrokerUnavailable` or `BrokerRefused`."""
    statuses = broker.broadcast(SUBJECT)
    answers, sightings = await asyncio.gather(statuses.ask_all(QUESTION, ANSWER_WITHIN), _sightings(broker))
    expected = expected_of(sightings, datetime.now(UTC))

    def complete(further: Sequence[Content]) -> bool:
        return instances_of([*answers, *further]) >= expected.keys()

    if not answers or not complete([]):
        answers += await statuses.ask_all(QUESTION, 0 if expected else ANSWER_WITHIN, complete, patience)
    return roll_of(answers, expected)


async def ask_for_stacks(broker: Broker, pid: int, instance: str | None = None) -> list[ChildStacks]:
    """Ask for the stacks of the child with this process id, of the worker with this instance or of all workers. The
    result is empty if no worker with such a child answers. Raise `BrokerUnavailable` or `BrokerRefused`."""
    within = ANSWER_WITHIN if instance is None else 0.0  # machines may have the same process ids

    def complete(answers: Sequence[Content]) -> bool:
        return bool(answers_in(answers))

    asked = broker.broadcast(SUBJECT)
    return answers_in(await asked.ask_all(question_for(pid, instance), within, complete, STACKS_WITHIN))


async def _sightings(broker: Broker) -> list[Sighting]:
    found: list[Sighting] = []
    oldest = datetime.now(UTC) - MISSING_FOR - _SLACK  # a start that is older has a younger sighting
    async with aclosing(broker.log(WORKERS.name, WORKERS.retention).read_back()) as records:
        async for record in records:
            sighting = sighting_of(record.content)
            if sighting is None:
                continue
            if sighting.time < oldest:
                break
            found.append(sighting)
    return found
