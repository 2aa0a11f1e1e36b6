"""A relay that dies at any of its commands to Redis, before it was done or after: no job is lost, and another relay
publishes at most those again that were in flight."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.relay import Relay
from bridge.queues import Queue
from tests.sidekiq.doubles import HELD, QUEUE, a_job, numbers_of, push, relaying, store_of
from tests.unit.bridge.publishing.doubles import SwitchedBroker, until

JOBS, IN_SETS = 8, 2


class Death:
    """Stops every command of a client of Redis from a chosen one on, before it is sent or when it was done."""

    def __init__(self, at: int, sent: bool) -> None:
        self.commands = 0
        self.came = asyncio.Event()
        self._at = at
        self._sent = sent
        self._execute: Any = Redis.execute_command

    def executing(self) -> Any:
        """Return a method that executes a command as `Redis.execute_command` does, unless the process is dead."""

        async def execute(client: Any, *arguments: Any, **options: Any) -> Any:
            self.commands += 1
            if self.commands < self._at:
                return await self._execute(client, *arguments, **options)
            if self.commands == self._at and self._sent:
                await self._execute(client, *arguments, **options)
            self.came.set()
            return await asyncio.Event().wait()

        return execute


async def relay_until(death: Death, url: str, broker: SwitchedBroker, patch: pytest.MonkeyPatch, client: Any) -> bool:
    """Relay until death comes; return False if all was relayed before."""
    publisher = LazyPublisher(lambda: broker, (Queue("default"),))
    store = store_of(url)
    with patch.context() as patched:
        patched.setattr(Redis, "execute_command", death.executing())
        task = asyncio.create_task(Relay(store, publisher, lambda moment: None).run())
        empty = asyncio.create_task(until(lambda: left(client) == 0 and len(broker.taken) == JOBS + 2 * IN_SETS))
        came = asyncio.create_task(death.came.wait())
        await asyncio.wait({empty, came}, return_when=asyncio.FIRST_COMPLETED)
        while not (task.done() and empty.done() and came.done()):  # a relay that is cancelled deletes first
            for each in (task, empty, came):
                each.cancel()
            await asyncio.sleep(0)
    return death.came.is_set()


def left(client: Any) -> int:
    """Return the number of jobs in Redis that become events."""
    return int(client.llen(QUEUE) + client.zcard("schedule") + client.zcard("retry") + client.hlen(HELD)) - 1


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
async def test_a_relay_dies_at_each_command(url: str, client: Any, monkeypatch: pytest.MonkeyPatch, sent: bool) -> None:
    """Jobs of the queue and of both sets, with one among them that stays."""
    jobs = [a_job(number) for number in range(JOBS + 2 * IN_SETS)]
    at, repeats = 1, list[int]()
    while True:
        client.flushdb()
        push(client, [*jobs[: JOBS // 2], a_job(99, "Other"), *jobs[JOBS // 2 : JOBS]])
        client.zadd("schedule", dict.fromkeys(jobs[JOBS : JOBS + IN_SETS], 1))
        client.zadd("retry", dict.fromkeys(jobs[JOBS + IN_SETS :], 1))
        broker = SwitchedBroker()
        if not await relay_until(Death(at, sent), url, broker, monkeypatch, client):
            break
        if leases := client.zrange("bridge:sidekiq:default:leases", 0, -1):
            client.zadd("bridge:sidekiq:default:leases", dict.fromkeys(leases, 0))  # as if their time was over
        async with relaying(url, broker):
            await until(lambda: left(client) == 0)

        published = Counter(numbers_of(broker))
        assert published.keys() == {*range(len(jobs))}, at
        repeats.append(published.total() - len(jobs))
        assert client.lrange(QUEUE, 0, -1) == [a_job_like(client)]
        at += 1

    assert at > 10
    assert max(repeats) <= len(jobs)
    assert any(repeats) is not sent  # what was published and not deleted


def a_job_like(client: Any) -> bytes:
    """Return the only job that stays."""
    (job,) = client.lrange(QUEUE, 0, -1)
    assert b'"Other"' in job
    return bytes(job)
