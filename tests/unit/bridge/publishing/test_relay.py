"""The relay: spooled events reach the broker in order, and leave the spool only after their confirm."""

import asyncio
import json
import logging
import os
import re
import signal
import sqlite3
import threading
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.errors import BrokerUnavailable, DeferRejected
from bridge.handling import Handling, Priority
from bridge.moments import Moment, Relayed
from bridge.publishing import aside, circuit
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.relay import BATCH
from bridge.publishing.spool.spool_file import SpoolFile
from bridge.publishing.spool.store import Store
from bridge.publishing.stores import Key
from bridge.queues import Queue
from bridge.retry_table import RetryTable
from bridge.watchers.notify import Watchers
from tests.deadlines import within
from tests.limits import PATIENCE
from tests.unit.bridge.publishing.doubles import (
    AMPLE,
    Answer,
    SwitchedBroker,
    a_spool,
    an_event,
    count,
    fill,
    in_namespace,
    spooling,
    until,
)


@pytest.fixture
def file(tmp_path: Path) -> SpoolFile:
    """Return a spool of the test's own."""
    return a_spool(tmp_path)


@pytest.fixture(autouse=True)
def _posts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish without waiting, as RabbitMQ mostly does. The tests of outboxes have a task for each event."""
    monkeypatch.setattr(SwitchedBroker, "posts", True)


async def broker_that_answers(answer: Answer, file: SpoolFile, others: int) -> SwitchedBroker:
    """Return a broker that gives this answer to `mail.sent` and confirms all others. The spool has one `mail.sent`
    first, then `others` other events."""
    broker = SwitchedBroker()
    broker.answers["mail.sent"] = answer
    await fill(file, 1, "mail.sent")
    await fill(file, others, start=1)
    return broker


async def relayed(broker: SwitchedBroker, file: SpoolFile, left: int = 0) -> None:
    """Relay until `left` events are left in the spool."""
    async with spooling(broker, file) as publisher:
        publisher.start()
        await until(lambda: count(file) == left)


async def test_watchers_receive_an_event_after_its_confirm(file: SpoolFile) -> None:
    """They receive events in order, with the due time. A watcher that raises keeps no event in the spool."""
    broker, moments = SwitchedBroker(), list[Moment]()
    await fill(file, 3)

    def broken(_: Moment) -> None:
        raise RuntimeError("broken")

    async with spooling(broker, file, Watchers((broken, moments.append))) as publisher:
        publisher.start()
        await until(lambda: count(file) == 0)

    assert moments == [Relayed(event, due) for event, due in broker.taken]
    assert len(moments) == 3


async def test_an_event_keeps_its_handling_in_the_spool(file: SpoolFile) -> None:
    """An event that expires in the spool is relayed, so that it ends where all expired events end."""
    handling = Handling(Priority.HIGH, datetime.now(UTC), "order-17", RetryTable(attempts=3))
    spooled, broker, store = an_event(1)._replace(handling=handling), SwitchedBroker(), Store(file)
    await store.add(spooled, None, within(PATIENCE))
    await store.close()

    await relayed(broker, file)

    assert broker.taken == [(spooled, None)]


async def test_events_of_an_ended_process_are_relayed_in_order(file: SpoolFile) -> None:
    """The next process relays them, many at a time."""
    broker = SwitchedBroker()
    await fill(file, 3 * BATCH)

    await relayed(broker, file)

    assert broker.numbers == list(range(3 * BATCH))
    assert 1 < broker.most_at_a_time <= BATCH


async def test_an_event_that_waits_is_not_overtaken(file: SpoolFile) -> None:
    """Such as one with a large body."""
    broker = SwitchedBroker()
    broker.slow = ("mail.sent",)
    await fill(file, 3)
    await fill(file, 1, "mail.sent", start=3)
    await fill(file, 3, start=4)

    async with spooling(broker, file) as publisher:
        publisher.start()
        await until(lambda: count(file) == 0)

    assert broker.numbers == list(range(7))


async def test_no_event_leaves_the_spool_before_its_confirm(file: SpoolFile) -> None:
    """At every confirm, the event is still in the file."""
    broker, seen = SwitchedBroker(), []
    broker.before_answer = lambda: seen.append(count(file) + len(broker.taken) >= 10)
    await fill(file, 10)

    await relayed(broker, file)

    assert seen == [True] * 10


async def test_one_event_is_tried_before_many_are(file: SpoolFile) -> None:
    """A broker that confirms nothing has at most one of the events."""
    broker = SwitchedBroker("silence")
    await fill(file, 20)

    async with spooling(broker, file) as publisher:
        publisher.start()
        await until(lambda: bool(broker.unconfirmed))

    assert len(broker.unconfirmed) == 1
    assert count(file) == 20


async def test_two_processes_do_not_relay_at_once(file: SpoolFile) -> None:
    """Each event is published by one of the two."""
    broker = SwitchedBroker()
    await fill(file, 2 * BATCH)

    await asyncio.gather(relayed(broker, file), relayed(broker, file))

    assert broker.numbers == list(range(2 * BATCH))


@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # Python 3.12 and later warn of a fork with threads
def test_a_forked_child_does_not_hold_its_parents_lock(file: SpoolFile) -> None:
    """When the parent ends, another process can relay although the child lives on."""
    parent, (reading, writing), (hearing, saying) = Store(file), os.pipe(), os.pipe()
    assert parent.lock()
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # a child that hangs must not outlive the test
        os.write(saying, b"!")
        os.read(reading, 1)
        os._exit(0)

    os.read(hearing, 1)
    assert parent._lock is not None
    os.close(parent._lock.descriptor)  # as the kernel does when a process ends
    another = Store(file)
    free = another.lock()
    os.write(writing, b"!")
    os.waitpid(child, 0)
    another.unlock()

    assert free


async def test_a_process_that_cannot_reach_the_broker_blocks_no_other_relay(file: SpoolFile) -> None:
    """The process waits for the broker without the lock."""
    away, there = SwitchedBroker("away"), SwitchedBroker()
    await fill(file, 3)

    async with spooling(away, file) as publisher:
        publisher.start()
        await asyncio.sleep(0.1)
        await relayed(there, file)

    assert there.numbers == [0, 1, 2]


async def test_an_unroutable_event_becomes_a_dead_letter(file: SpoolFile) -> None:
    """The relay publishes it with a short delay, because a delayed event that finds no queue becomes a dead letter."""
    broker = SwitchedBroker("unroutable")
    await fill(file, 1)

    await relayed(broker, file)

    ((event, due),) = broker.taken
    assert json.loads(event.data) == 0
    assert due is not None
    assert 0 < (due - datetime.now(UTC)).total_seconds() <= 1


async def test_a_refused_event_stays_and_the_others_are_relayed(
    file: SpoolFile, caplog: pytest.LogCaptureFixture
) -> None:
    """The refused event is tried again. The log has one warning about it."""
    broker = await broker_that_answers("full", file, others=3)

    async with spooling(broker, file) as publisher:
        publisher.start()
        await until(lambda: count(file) == 1)
        tries = broker.tries
        await until(lambda: broker.tries > tries)
        del broker.answers["mail.sent"]
        await until(lambda: count(file) == 0)

    assert broker.numbers == [1, 2, 3, 0]
    assert caplog.text.count("keeps events and tries them again: a full queue") == 1


async def test_an_event_without_queue_and_ladder_stays_and_the_others_are_relayed(file: SpoolFile) -> None:
    """This happens if an operator deleted a part of the topology that this process may not declare again."""
    broker = await broker_that_answers("nowhere", file, others=3)

    await relayed(broker, file, left=1)

    assert broker.numbers == [1, 2, 3]


async def test_an_event_without_a_known_queue_is_not_counted_as_put() -> None:
    """Otherwise a process with old settings, or of another site, would delete the event from the spool without
    publishing it."""
    publisher = LazyPublisher(SwitchedBroker, (Queue("mail", ("mail.#",)),))

    with pytest.raises(DeferRejected, match=r"no queue for 'order\.paid' is known here"):
        await publisher.put_into_each(an_event(), None, set(), 1.0)


async def test_an_event_that_is_too_large_for_the_broker_stays_and_is_logged(
    file: SpoolFile, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker would refuse it every time, so this process tries it once."""
    broker = await broker_that_answers("too large", file, others=1)

    await relayed(broker, file, left=1)

    assert broker.numbers == [1]
    assert (
        f"event 1 of the spool {file.path} stays there; this process cannot relay it: the broker takes less"
        in caplog.text
    )


async def test_a_forbidden_event_stays_until_it_is_permitted(
    file: SpoolFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are relayed, the circuit stays closed, the log has one record about it, and it is tried again."""
    monkeypatch.setattr(aside, "FORBIDDEN_SECONDS", 0.1)
    broker = await broker_that_answers("forbidden", file, others=3)

    async with spooling(broker, file) as publisher:
        publisher.start()
        await until(lambda: count(file) == 1)
        tries = broker.tries
        await until(lambda: broker.tries > tries)
        assert await publisher.publish(an_event(4), deadline=within(AMPLE)) == "broker"
        del broker.answers["mail.sent"]
        await until(lambda: count(file) == 0)

    assert broker.numbers == [1, 2, 3, 4, 0]
    assert caplog.text.count("event 1 of the spool") == 1
    assert "access refused" in caplog.text


async def test_a_forbidden_event_is_not_tried_with_every_turn(file: SpoolFile) -> None:
    """It is set aside, while other events come and go."""
    broker = await broker_that_answers("forbidden", file, others=BATCH + 2)

    async with spooling(broker, file) as publisher:
        publisher.start()
        await until(lambda: count(file) == 1)
        await fill(file, 3, start=1000)
        await until(lambda: count(file) == 1 and len(broker.taken) == BATCH + 5)

    assert broker.tries == len(broker.taken) + 1


async def test_an_envelope_of_a_newer_program_stays(file: SpoolFile) -> None:
    """The newer program can relay it. The other events are relayed."""
    broker = SwitchedBroker()
    await fill(file, 2)
    with closing(sqlite3.connect(file.path)) as connection, connection:
        connection.execute("""UPDATE "bridge.spool.event" SET head = '{"v": 99}' WHERE number = 1""")

    await relayed(broker, file, left=1)

    assert broker.numbers == [1]


async def test_an_event_that_could_not_be_deleted_is_not_published_again(
    file: SpoolFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For instance on a full disk: this process remembers the confirm and deletes the event later."""
    broker, remove, failures = SwitchedBroker(), Store.remove, [BrokerUnavailable("disk full")]

    async def failing(store: Store, keys: Iterable[Key]) -> None:
        if failures:
            raise failures.pop()
        await remove(store, keys)

    monkeypatch.setattr(Store, "remove", failing)
    await fill(file, 5)

    await relayed(broker, file)

    assert broker.numbers == [0, 1, 2, 3, 4]


async def test_an_event_that_could_not_be_deleted_is_not_published_by_another_process(
    file: SpoolFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that remembers the confirm keeps the lock until the event is deleted."""
    broker, others, failed = SwitchedBroker(), [], asyncio.Event()

    async def failing(store: Store, keys: Iterable[Key]) -> None:
        failed.set()
        raise BrokerUnavailable("disk full")

    await fill(file, 1)
    another = Store(file)
    async with spooling(broker, file) as publisher:
        with monkeypatch.context() as full:
            full.setattr(Store, "remove", failing)
            publisher.start()
            await failed.wait()
            others.append(another.lock())
        await until(lambda: count(file) == 0)
        await until(another.lock)
    another.unlock()
    await another.close()

    assert others == [False]
    assert broker.numbers == [0]


async def test_an_event_of_a_replaced_file_is_not_deleted(file: SpoolFile) -> None:
    """The event has the number of another one, which was published from the removed file."""
    broker = SwitchedBroker()

    def replace() -> None:
        broker.before_answer = lambda: None
        file.path.unlink()
        for further in file.path.parent.glob("spool.db-*"):
            further.unlink()
        asyncio.run_coroutine_threadsafe(fill(file, 1, start=7), elsewhere).result()

    elsewhere = asyncio.new_event_loop()
    threading.Thread(target=elsewhere.run_forever, daemon=True).start()
    broker.before_answer = replace
    await fill(file, 1)

    await relayed(broker, file)
    elsewhere.call_soon_threadsafe(elsewhere.stop)

    assert broker.numbers == [0, 7]


async def test_two_namespaces_in_one_file_do_not_mix(file: SpoolFile) -> None:
    """Each event is relayed to its own site."""
    broker, other = SwitchedBroker(), in_namespace(file, "Bridge")
    await fill(file, 1)
    await fill(other, 1, start=1)

    await relayed(broker, file)

    assert broker.numbers == [0]
    assert count(other) == 1


async def test_while_the_broker_is_away_the_log_says_how_much_waits(
    file: SpoolFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log line has the number of events and the age of the oldest."""
    monkeypatch.setattr(circuit, "REMIND_SECONDS", 0.1)

    with caplog.at_level(logging.WARNING, "bridge"):
        async with spooling(SwitchedBroker("gone"), file) as publisher:
            await publisher.publish(an_event(), deadline=within(AMPLE))
            await publisher.publish(an_event(), deadline=within(AMPLE))
            await until(lambda: "still does not answer" in caplog.text)

    assert re.search(rf"2 events in the spool {file.path}, the oldest \d s old", caplog.text)


async def test_a_relay_that_is_stopped_in_a_batch_keeps_only_unconfirmed_events(file: SpoolFile) -> None:
    """The next process does not publish the confirmed ones again."""
    broker = SwitchedBroker()
    broker.answers["order.late"] = "silence"
    await fill(file, 20)
    await fill(file, 1, name="order.late", start=20)

    async with spooling(broker, file) as publisher:
        publisher.start()
        await until(lambda: len(broker.taken) == 20 and bool(broker.unconfirmed))

    assert count(file) == 1
