"""SQLite only: several processes on one file, and killed ones."""

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Consumer
from bridge.brokers.contract.publishing import Publisher
from bridge.envelope import encode_head
from bridge.errors import BrokerRefused
from bridge.queues import Queue
from tests.contract.acts import an_envelope, an_event, consuming, eventually, take, take_and_ack
from tests.contract.conftest import OpenBroker
from tests.contract.sqlite_site import SqliteSite
from tests.limits import PATIENCE


@pytest.fixture
def site(sqlite_site: SqliteSite) -> SqliteSite:
    """A file of this test's own."""
    return sqlite_site


@asynccontextmanager
async def process(site: SqliteSite, verb: str, count: int) -> AsyncIterator[Process]:
    """Start a process that does this; it is killed after the test."""
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
    """Return the next lines that the process prints."""
    assert started.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return [(await started.stdout.readline()).decode().strip() for _ in range(count)]


async def test_killed_worker(site: SqliteSite, broker: Broker) -> None:
    """Events of a killed worker are delivered again within seconds, marked, with the same tokens."""
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

    assert time.monotonic() - killed < 60
    assert [delivery.token for delivery in again] == tokens
    assert all(delivery.redelivered for delivery in again)


async def test_living_worker_keeps_what_it_holds(site: SqliteSite, broker: Broker) -> None:
    """While a worker lives, no other worker gets its events, however long it holds them."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("first"))
    async with process(site, "hold", 1) as worker:
        await lines(worker, 1)
        started = [await consuming(broker, "default") for _ in range(3)]  # each releases ended leases when it starts
        await publisher.publish(an_event("second"))
        receivers = [asyncio.create_task(consumer.receive()) for consumer in started]

        (done, pending) = await asyncio.wait(receivers, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)

        assert [task.result().envelope.event.name for task in done] == ["second"]
        for task in pending:
            task.cancel()


async def test_many_processes_lose_nothing(site: SqliteSite, broker: Broker) -> None:
    """With ten publishers and three consumers on one file, every event is published once and acknowledged once."""
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
    """Events that a publisher reported before it was killed are there, and the file is intact."""
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
    """A process that ends without closing its broker ends at once, and its published events are there."""
    async with process(site, "publish_and_leave", 10) as publisher:
        printed = await lines(publisher, 10)
        async with asyncio.timeout(PATIENCE):
            assert await publisher.wait() == 0

    taken = await take_and_ack(await consuming(broker, "default"), 10)
    assert [delivery.envelope.event.id for delivery in taken] == printed


async def test_heard_at_once(broker: Broker, another_broker: OpenBroker) -> None:
    """Events of another process are delivered within milliseconds, also after an idle time."""
    await broker.declare([Queue("default")])
    consumer = await consuming(broker, "default")
    publisher = another_broker().publisher()

    seconds = [await _seconds_to_deliver(publisher, consumer, pause) for pause in (1.2, *[0.03] * 20)]

    assert sorted(seconds)[5] < 0.02


async def test_seen_without_a_bell(site: SqliteSite, broker: Broker) -> None:
    """A commit of a program that sends no wake-up is noticed within a tenth of a second."""
    await broker.declare([Queue("default")])
    consumer = await consuming(broker, "default")
    seconds: list[float] = []

    for _ in range(11):
        began = time.monotonic()
        await site.put_raw("default", "a", encode_head(an_envelope()), b"")
        await (await take(consumer)).ack()
        seconds.append(time.monotonic() - began)

    assert sorted(seconds)[2] < 0.1


async def _seconds_to_deliver(publisher: Publisher, consumer: Consumer, pause: float) -> float:
    await asyncio.sleep(pause)
    began = time.monotonic()
    await publisher.publish(an_event())
    delivery = await take(consumer)
    seconds = time.monotonic() - began
    await delivery.ack()
    return seconds


async def test_bell_of_one_that_was_killed(site: SqliteSite, broker: Broker) -> None:
    """A frozen or dead worker's full FIFO does not delay publishing."""
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
    """The right to decide names its holder, and is free as soon as that process has ended."""
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
    """Each living consumer has a lock file; those of dead consumers are removed, and none is left at the end."""
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
    """Workers that start while others remove lock files lose none of their own, and so share the events."""
    brokers = [another_broker() for _ in range(8)]
    await brokers[0].declare([Queue("default")])

    consumers = await asyncio.gather(*(consuming(broker, "default", prefetch=1) for broker in brokers))

    assert len(list(site.path.parent.glob("bridge.db.worker-*"))) == 8
    publisher = brokers[0].publisher()
    for _ in range(8):
        await publisher.publish(an_event())
    assert len({(await take(consumer)).token for consumer in consumers}) == 8


async def test_fork_of_a_process_that_publishes(site: SqliteSite, broker: Broker) -> None:
    """Events of a forked child are there, though its parent had the file open and closes it meanwhile."""
    forking = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.contract.sqlite_forking", site.url)

    assert await forking.wait() == 0

    backlog = await broker.consumer().backlog()
    assert backlog["default"].ready == 3
