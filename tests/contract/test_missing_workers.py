"""The look for missing workers: one worker of the site tells of each, and another takes over when that one is gone."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bridge.brokers.any_broker.roll_call import ask_site
from bridge.brokers.contract.broker import Broker
from bridge.moments import Moment, WorkerMissing
from bridge.queues import Queue
from bridge.registry import Roll, Sighting, record_of
from bridge.site_logs import WORKERS
from tests.contract.conftest import OpenBroker
from tests.limits import PATIENCE
from tests.unit.bridge.statuses import WORKER, no_child
from worker.control.membership import Membership
from worker.control.missing_workers import MissingWorkers


async def test_one_worker_tells_of_each_missing_worker_once(another_broker: OpenBroker) -> None:
    """A worker that answers is not missing, and one that is missing for long is no news. When the worker that looks is
    gone, another looks."""
    broker = another_broker()
    await broker.declare([Queue("default")])
    told: list[tuple[int, Moment]] = []
    asker = another_broker()
    asks = asyncio.Lock()

    async def ask() -> Roll:
        async with asks:  # both looks share the connections of one broker
            return await ask_site(asker)

    def look(number: int, broker: Broker) -> asyncio.Task[None]:
        def tell(moment: Moment) -> None:
            told.append((number, moment))

        return asyncio.create_task(MissingWorkers(broker, tell, ask, every=0.05, confirm_after=0.01).run())

    async def until_told(pid: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while not any(isinstance(moment, WorkerMissing) and moment.pid == pid for _, moment in told):
                await asyncio.sleep(0.02)

    async def vanish(pid: int, ago: timedelta = timedelta()) -> None:
        gone = Sighting("started", datetime.now(UTC) - ago, f"gone{pid}", "web2", pid, "shop:app")
        await asker.log(WORKERS.name, WORKERS.retention).append(record_of(gone))

    async with AsyncExitStack() as site:
        await site.enter_async_context(Membership(another_broker(), lambda: replace(WORKER, instance="here"), no_child))
        await vanish(4710, timedelta(hours=5))
        looks = [look(number, another_broker()) for number in (0, 1)]
        try:
            await vanish(4711)
            await until_told(4711)
            holder = told[0][0]
            looks[holder].cancel()
            await asyncio.wait([looks[holder]])
            await vanish(4712)
            await until_told(4712)
        finally:
            for each in looks:
                each.cancel()
            await asyncio.wait(looks)

    by_pid = [(number, moment.pid) for number, moment in told if isinstance(moment, WorkerMissing)]
    assert {pid for _, pid in by_pid} == {4711, 4712}
    assert [pid for number, pid in by_pid if number == holder] == [4711]
    assert [number for number, pid in by_pid if pid == 4712] == [1 - holder]
