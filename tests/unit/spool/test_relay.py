"""The relay: what is in a spool reaches the broker in order, confirmed, and only then leaves the spool."""

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

from bridge.brokers.declared import DeclaredPublisher
from bridge.brokers.spool import circuit
from bridge.brokers.spool.relay import BATCH
from bridge.brokers.spool.spool_file import SpoolFile
from bridge.brokers.spool.store import Key, Store
from bridge.errors import BrokerUnavailable, DeferRejected
from bridge.queues import Queue
from tests.unit.spool.doubles import (
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
    """A spool of the test's own."""
    return a_spool(tmp_path)


async def broker_that_answers(answer: Answer, file: SpoolFile, others: int) -> SwitchedBroker:
    """A broker that answers so to `mail.sent`, which comes first out of the spool, and takes these others behind it."""
    broker = SwitchedBroker()
    broker.answers["mail.sent"] = answer
    await fill(file, 1, "mail.sent")
    await fill(file, others, start=1)
    return broker


async def relayed(broker: SwitchedBroker, file: SpoolFile, left: int = 0) -> None:
    """Relay until no more than these are left."""
    async with spooling(broker, file) as publisher:
        publisher.start()
        await until(lambda: count(file) == left)


async def test_what_a_process_left_behind_is_relayed_in_order(file: SpoolFile) -> None:
    """By the next process, many at a time."""
    broker = SwitchedBroker()
    await fill(file, 3 * BATCH)

    await relayed(broker, file)

    assert broker.numbers == list(range(3 * BATCH))
    assert 1 < broker.most_at_a_time <= BATCH


async def test_nothing_leaves_the_spool_before_it_is_confirmed(file: SpoolFile) -> None:
    """At every confirm, the event is still in the file."""
    broker, seen = SwitchedBroker(), []
    broker.before_answer = lambda: seen.append(count(file) + len(broker.taken) >= 10)
    await fill(file, 10)

    await relayed(broker, file)

    assert seen == [True] * 10


async def test_one_event_is_tried_before_many_are(file: SpoolFile) -> None:
    """A broker that takes events and confirms none has at most one of them."""
    broker = SwitchedBroker("silence")
    await fill(file, 20)

    async with spooling(broker, file) as publisher:
        publisher.start()
        await until(lambda: bool(broker.unconfirmed))

    assert len(broker.unconfirmed) == 1
    assert count(file) == 20


async def test_two_processes_do_not_relay_at_once(file: SpoolFile) -> None:
    """Each event is published by one of them."""
    broker = SwitchedBroker()
    await fill(file, 2 * BATCH)

    await asyncio.gather(relayed(broker, file), relayed(broker, file))

    assert broker.numbers == list(range(2 * BATCH))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # from 3.12 on, of forking with threads
def test_a_forked_child_does_not_hold_its_parents_lock(file: SpoolFile) -> None:
    """When the parent ends, another can relay, though the child lives on."""
    parent, (reading, writing), (hearing, saying) = Store(file), os.pipe(), os.pipe()
    assert parent.lock()
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # should it hang, it must not outlive the test
        os.write(saying, b"!")
        os.read(reading, 1)
        os._exit(0)

    os.read(hearing, 1)
    assert parent._lock is not None
    os.close(parent._lock.descriptor)  # as the kernel does at a process's end
    another = Store(file)
    free = another.lock()
    os.write(writing, b"!")
    os.waitpid(child, 0)
    another.unlock()

    assert free


async def test_who_cannot_reach_the_broker_keeps_nobody_from_relaying(file: SpoolFile) -> None:
    """It waits without the lock."""
    away, there = SwitchedBroker("away"), SwitchedBroker()
    await fill(file, 3)

    async with spooling(away, file) as publisher:
        publisher.start()
        await asyncio.sleep(0.1)
        await relayed(there, file)

    assert there.numbers == [0, 1, 2]


async def test_what_finds_no_queue_becomes_a_dead_letter(file: SpoolFile) -> None:
    """By way of a short delay: who publishes can be told of no queue, and what matures without one is a letter."""
    broker = SwitchedBroker("unroutable")
    await fill(file, 1)

    await relayed(broker, file)

    ((event, due),) = broker.taken
    assert json.loads(event.data) == 0
    assert due is not None
    assert 0 < (due - datetime.now(UTC)).total_seconds() <= 1


async def test_what_the_broker_refuses_is_kept_and_the_others_go_on(
    file: SpoolFile, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again, and the log says it once."""
    broker = await broker_that_answers("full", file, others=3)

    async with spooling(broker, file) as publisher:
        publisher.start()
        await until(lambda: count(file) == 1)
        tries = broker.tries
        await until(lambda: broker.tries > tries)
        del broker.answers["mail.sent"]
        await until(lambda: count(file) == 0)

    assert broker.numbers == [1, 2, 3, 0]
    assert caplog.text.count("keeps events: a full queue") == 1


async def test_what_finds_neither_a_queue_nor_the_ladder_is_kept_and_the_others_go_on(file: SpoolFile) -> None:
    """As where somebody has deleted a part of the topology that we may not declare again."""
    broker = await broker_that_answers("nowhere", file, others=3)

    await relayed(broker, file, left=1)

    assert broker.numbers == [1, 2, 3]


async def test_an_event_is_not_taken_for_put_where_no_queue_for_it_is_known() -> None:
    """As by a process with the settings of before, or of another site's: it would leave the spool, and be nowhere."""
    publisher = DeclaredPublisher(SwitchedBroker, (Queue("mail", ("mail.#",)),))

    with pytest.raises(DeferRejected, match=r"no queue for 'order\.paid' is known here"):
        await publisher.put_into_each(an_event(), None, set(), within=1.0)


async def test_what_is_too_large_for_the_broker_stays_and_is_named(
    file: SpoolFile, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be refused for ever, so this process tries it once."""
    broker = await broker_that_answers("too large", file, others=1)

    await relayed(broker, file, left=1)

    assert broker.numbers == [1]
    assert f"event 1 of the spool {file.path} stays there: the broker takes less" in caplog.text


async def test_an_envelope_of_a_newer_program_stays(file: SpoolFile) -> None:
    """For that program to relay; the others are not held up."""
    broker = SwitchedBroker()
    await fill(file, 2)
    with closing(sqlite3.connect(file.path)) as connection, connection:
        connection.execute("""UPDATE "bridge.spool.event" SET head = '{"v": 99}' WHERE number = 1""")

    await relayed(broker, file, left=1)

    assert broker.numbers == [1]


async def test_what_could_not_be_deleted_is_not_published_again(
    file: SpoolFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: this process remembers what was confirmed, and deletes it later."""
    broker, remove, failures = SwitchedBroker(), Store.remove, [BrokerUnavailable("disk full")]

    async def failing(store: Store, keys: Iterable[Key]) -> None:
        if failures:
            raise failures.pop()
        await remove(store, keys)

    monkeypatch.setattr(Store, "remove", failing)
    await fill(file, 5)

    await relayed(broker, file)

    assert broker.numbers == [0, 1, 2, 3, 4]


async def test_what_could_not_be_deleted_is_not_published_by_another_process(
    file: SpoolFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who remembers what was confirmed keeps the right to relay until it is deleted."""
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


async def test_an_event_of_another_file_in_its_place_is_not_deleted(file: SpoolFile) -> None:
    """Though it has the number of one that was published out of the file that was removed."""
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
    """Each is relayed to its own site."""
    broker, other = SwitchedBroker(), in_namespace(file, "Bridge")
    await fill(file, 1)
    await fill(other, 1, start=1)

    await relayed(broker, file)

    assert broker.numbers == [0]
    assert count(other) == 1


async def test_while_the_broker_is_away_the_log_says_how_much_waits(
    file: SpoolFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """How many events, and the age of the oldest."""
    monkeypatch.setattr(circuit, "REMIND_SECONDS", 0.1)

    with caplog.at_level(logging.WARNING, "bridge"):
        async with spooling(SwitchedBroker("gone"), file) as publisher:
            await publisher.publish(an_event(), within=AMPLE)
            await publisher.publish(an_event(), within=AMPLE)
            await until(lambda: "still does not answer" in caplog.text)

    assert re.search(rf"2 events in the spool {file.path}, the oldest \d s old", caplog.text)


async def test_a_relay_that_is_stopped_in_a_batch_keeps_only_what_is_not_confirmed(file: SpoolFile) -> None:
    """What was confirmed meanwhile is not published again by the next process."""
    broker = SwitchedBroker()
    broker.answers["order.late"] = "silence"
    await fill(file, 20)
    await fill(file, 1, name="order.late", start=20)

    async with spooling(broker, file) as publisher:
        publisher.start()
        await until(lambda: len(broker.taken) == 20 and bool(broker.unconfirmed))

    assert count(file) == 1
