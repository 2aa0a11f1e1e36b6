"""The registry of workers: fifty of them answer a question, and the one that ended without a word is missing."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from bridge.brokers.any_broker.roll_call import ask_for_stacks, ask_site
from bridge.brokers.contract.broker import Broker
from bridge.queues import Queue
from bridge.registry import PATIENCE as OF_AN_ASKER
from bridge.registry import Roll, Sighting, record_of
from bridge.site_logs import WORKERS
from bridge.stacks import ChildStacks
from bridge.status import WorkerStatus
from tests.contract.conftest import OpenBroker
from tests.limits import PATIENCE
from tests.unit.bridge.statuses import BUSY, WORKER, no_child
from worker.control.membership import Membership

MANY = 50


def status_of(number: int) -> WorkerStatus:
    """Return the status of one of the workers. Every tenth has too many slots for one answer."""
    slots = (BUSY,) * (2000 if number % 10 == 0 else 4)
    return replace(WORKER, instance=f"i{number}", pid=1000 + number, slots=slots)


async def until(asker: Broker, holds: Callable[[Roll], bool], patience: float = OF_AN_ASKER) -> Roll:
    """Ask until the roll is as expected."""
    async with asyncio.timeout(PATIENCE):
        while not holds(roll := await ask_site(asker, patience)):
            pass
    return roll


async def test_one_worker_tells_the_stacks_of_its_child(another_broker: OpenBroker) -> None:
    """The worker that is asked, or each that has such a child; one that has none says nothing."""

    async def stacks(pid: int) -> bytes | None:
        return {12: b"in paid", 13: b""}.get(pid)

    asker = another_broker()
    await asker.declare([Queue("default")])
    async with AsyncExitStack() as site:
        for number, of in ((0, stacks), (1, stacks), (2, no_child)):
            await site.enter_async_context(Membership(another_broker(), partial(status_of, number), of))
        await until(asker, lambda found: len(found.workers) == 3, patience=30)

        async with asyncio.timeout(PATIENCE):
            while not (one := await ask_for_stacks(asker, 12, "i1")):
                pass
            while len(each := await ask_for_stacks(asker, 13)) < 2:
                pass
        assert one == [ChildStacks("i1", "web1", 1001, 12, "the-id", "in paid")]
        assert {(answer.instance, answer.event, answer.stacks) for answer in each} == {
            ("i0", None, ""),
            ("i1", None, ""),
        }
        assert await ask_for_stacks(asker, 12, "i2") == []


async def test_fifty_workers_answer(another_broker: OpenBroker) -> None:
    """All of them answer, also those with thousands of slots. One that was killed is missing."""
    asker = another_broker()
    await asker.declare([Queue("default")])
    async with AsyncExitStack() as site:
        for number in range(MANY):
            await site.enter_async_context(Membership(another_broker(), partial(status_of, number), no_child))

        # With patience: on a busy machine, fifty workers of one process take some seconds to answer.
        roll = await until(asker, lambda found: len(found.workers) == MANY, patience=30)
        assert {worker.instance for worker in roll.workers} == {f"i{number}" for number in range(MANY)}
        assert {worker.slots_omitted for worker in roll.workers} == {0, 2000}
        assert not roll.missing

        gone = Sighting("started", datetime.now(UTC), "gone", "web2", 4711, "shop:app")
        await asker.log(WORKERS.name, WORKERS.retention).append(record_of(gone))
        await until(asker, lambda found: 4711 in {each.pid for each in found.missing})

    roll = await until(asker, lambda found: len(found.missing) == 1)
    assert ([each.pid for each in roll.missing], roll.workers) == ([4711], ())
