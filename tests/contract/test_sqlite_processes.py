"""SQLite alone: several processes on one file, and what is left of one that was killed."""

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing

import pytest

from bridge.brokers.contract import Broker, Consumer, Publisher
from bridge.envelope import encode_head
from bridge.errors import BrokerRefused
from bridge.queues import Queue
from tests.contract.acts import PATIENCE, an_envelope, an_event, consuming, eventually, take, take_and_ack
from tests.contract.conftest import OpenBroker
from tests.contract.sqlite_site import SqliteSite


@pytest.fixture
def site(sqlite_site: SqliteSite) -> SqliteSite:
    """A file of this test's own."""
    return sqlite_site


@asynccontextmanager
async def process(site: SqliteSite, verb: str, count: int) -> AsyncIterator[Process]:
    """A process that does this; killed in the end."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.sqlite_process", verb, site.url, str(count), stdout=PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def lines(started: Process, count: int) -> list[str]:
    """The next lines that it prints."""
    assert started.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return [(await started.stdout.readline()).decode().strip() for _ in range(count)]


async def test_killed_worker(site: SqliteSite, broker: Broker) -> None:
    """What a worker held when it was killed comes back, marked, under the same tokens, within seconds."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    for _ in range(3):
        await publisher.publish(an_event())
    async with process(site, "hold", 3) as worker:
        tokens = await lines(worker, 3)
        consumer = await consuming(broker, "default")
        worker.kill()
        killed = time.monotonic()

        again = await take_and_ack(consumer, 3)

    assert time.monotonic() - killed < 5
    assert [delivery.token for delivery in again] == tokens
    assert all(delivery.redelivered for delivery in again)


async def test_living_worker_keeps_what_it_holds(site: SqliteSite, broker: Broker) -> None:
    """However long a worker holds an event, nobody else has it while the worker lives."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("first"))
    async with process(site, "hold", 1) as worker:
        await lines(worker, 1)
        started = [await consuming(broker, "default") for _ in range(3)]  # each sweeps when it starts
        await publisher.publish(an_event("second"))
        receivers = [asyncio.create_task(consumer.receive()) for consumer in started]

        (done, pending) = await asyncio.wait(receivers, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)

        assert [task.result().envelope.event.name for task in done] == ["second"]
        for task in pending:
            task.cancel()


async def test_many_processes_lose_nothing(site: SqliteSite, broker: Broker) -> None:
    """Ten publishers and three consumers on one file: every event is published once, and acked once."""
    await broker.declare([Queue("default")])
    acked: Counter[str] = Counter()

    async def published_by_one() -> Counter[str]:
        async with process(site, "publish", 100) as publisher:
            return Counter(await lines(publisher, 100))

    async def count_acked() -> int:
        return acked.total()

    async with AsyncExitStack() as stack:
        consumers = [await stack.enter_async_context(process(site, "consume", 8)) for _ in range(3)]
        counting = [asyncio.create_task(_count_lines(consumer, acked)) for consumer in consumers]
        published = sum(await asyncio.gather(*(published_by_one() for _ in range(10))), Counter())
        await eventually(count_acked, lambda total: total >= 1000)
        for consumer in consumers:
            consumer.kill()
        await asyncio.gather(*counting)

    assert published.total() == 1000
    assert acked == published
    assert _integrity(site) == [("ok",)]


async def _count_lines(started: Process, counter: Counter[str]) -> None:
    assert started.stdout is not None
    async for line in started.stdout:
        counter[line.decode().strip()] += 1


def _integrity(site: SqliteSite) -> list[tuple[str]]:
    with closing(site.connection()) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall()


async def test_killed_publishers_leave_the_file_whole(site: SqliteSite, broker: Broker) -> None:
    """What a publisher printed before it was killed is there, and the file is sound."""
    await broker.declare([Queue("default")])
    async with process(site, "publish", 100_000) as publisher:
        printed = await lines(publisher, 200)
        publisher.kill()
        await publisher.wait()

    assert _integrity(site) == [("ok",)]
    backlog = await (await consuming(broker, "default", prefetch=0)).backlog()
    taken = await take_and_ack(await consuming(broker, "default", prefetch=100), backlog["default"].ready)
    assert set(printed) <= {delivery.envelope.event.id for delivery in taken}


async def test_end_without_close(site: SqliteSite, broker: Broker) -> None:
    """A process that ends without closing its broker ends at once, and what it published is there."""
    async with process(site, "publish_and_leave", 10) as publisher:
        printed = await lines(publisher, 10)
        async with asyncio.timeout(PATIENCE):
            assert await publisher.wait() == 0

    taken = await take_and_ack(await consuming(broker, "default"), 10)
    assert [delivery.envelope.event.id for delivery in taken] == printed


async def test_heard_at_once(broker: Broker, another_broker: OpenBroker) -> None:
    """What another process publishes is delivered within milliseconds, after an idle time too."""
    await broker.declare([Queue("default")])
    consumer = await consuming(broker, "default")
    publisher = another_broker().publisher()

    seconds = [await _seconds_to_deliver(publisher, consumer, pause) for pause in (1.2, *[0.03] * 20)]

    assert sorted(seconds)[10] < 0.02


async def test_seen_without_a_bell(site: SqliteSite, broker: Broker) -> None:
    """What is committed by somebody who cannot ring is seen all the same, within a tenth of a second."""
    await broker.declare([Queue("default")])
    consumer = await consuming(broker, "default")
    seconds: list[float] = []

    for _ in range(11):
        began = time.monotonic()
        await site.put_raw("default", "a", encode_head(an_envelope()), b"")
        await (await take(consumer)).ack()
        seconds.append(time.monotonic() - began)

    assert sorted(seconds)[5] < 0.1


async def _seconds_to_deliver(publisher: Publisher, consumer: Consumer, pause: float) -> float:
    await asyncio.sleep(pause)
    began = time.monotonic()
    await publisher.publish(an_event())
    delivery = await take(consumer)
    seconds = time.monotonic() - began
    await delivery.ack()
    return seconds


async def test_bell_of_one_that_was_killed(site: SqliteSite, broker: Broker) -> None:
    """Publishing goes on beside the bell of a worker that is frozen or dead, however often it is rung."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event())
    async with process(site, "hold", 1) as worker:
        await lines(worker, 1)
        worker.send_signal(signal.SIGSTOP)
        for _ in range(50):
            await publisher.publish(an_event())
        worker.kill()

    async with asyncio.timeout(PATIENCE):
        await publisher.publish(an_event())


async def test_right_to_decide_of_a_killed_process(site: SqliteSite, broker: Broker) -> None:
    """The right to decide names its holder, and is free again as soon as that process has ended."""
    await broker.declare([Queue("default")])
    async with process(site, "decide", 1) as decider:
        await lines(decider, 1)
        with pytest.raises(BrokerRefused, match=f"another bridge-dlq .*pid {decider.pid}"):
            async with broker.ledger().deciding():
                pytest.fail("two decide at once")
        decider.kill()
        await decider.wait()

        async with broker.ledger().deciding():
            pass


async def test_lock_files(site: SqliteSite, another_broker: OpenBroker) -> None:
    """Each consumer has a lock file while it lives; those of the dead are swept; nothing is left in the end."""
    site.path.with_name("bridge.db.worker-stale").touch()
    brokers = [another_broker(), another_broker()]
    await brokers[0].declare([Queue("default")])

    for broker in brokers:
        await consuming(broker, "default")

    found = {path.name for path in site.path.parent.glob("bridge.db.worker-*")}
    assert len(found) == 2
    assert "bridge.db.worker-stale" not in found
    for broker in brokers:
        await broker.close()
    assert not list(site.path.parent.glob("bridge.db.worker-*"))


async def test_begun_and_swept_at_once(site: SqliteSite, another_broker: OpenBroker) -> None:
    """Workers that start while others sweep lose no lock file, and so share the events."""
    brokers = [another_broker() for _ in range(8)]
    await brokers[0].declare([Queue("default")])

    consumers = await asyncio.gather(*(consuming(broker, "default", prefetch=1) for broker in brokers))

    assert len(list(site.path.parent.glob("bridge.db.worker-*"))) == 8
    publisher = brokers[0].publisher()
    for _ in range(8):
        await publisher.publish(an_event())
    assert len({(await take(consumer)).token for consumer in consumers}) == 8


async def test_fork_of_a_process_that_publishes(site: SqliteSite, broker: Broker) -> None:
    """What a forked child publishes is there, though its parent had the file open and closes it meanwhile."""
    forking = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.contract.sqlite_forking", site.url)

    assert await forking.wait() == 0

    backlog = await broker.consumer().backlog()
    assert backlog["default"].ready == 3
