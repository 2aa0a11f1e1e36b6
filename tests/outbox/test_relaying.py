"""The relay of an outbox: each committed event reaches the broker, and leaves the outbox after its confirm."""

import asyncio
import logging
from collections import defaultdict
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from app_adapter.outgoing import Outgoing
from app_adapter.sqlalchemy.outbox import write
from bridge.moments import Moment, Relayed
from bridge.publishing import relay as relay_module
from bridge.publishing import stores
from bridge.publishing.outbox.tables import tables
from bridge.publishing.relay import BATCH
from tests.database_server import DatabaseServer
from tests.outbox.doubles import commit, count, keyed, relaying
from tests.unit.bridge.publishing.doubles import SwitchedBroker, an_event, until


@pytest.fixture(autouse=True)
def _closed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay whose broker is silent ends at once."""
    monkeypatch.setattr("bridge.publishing.store_relay.CLOSE_SECONDS", 0.1)


async def test_events_are_relayed_in_order_and_deleted_after_their_confirm(engine: Engine, url: str) -> None:
    """Many at a time. At every confirm the event is still in the outbox."""
    broker, moments, left = SwitchedBroker(), list[Moment](), list[bool]()
    broker.before_answer = lambda: left.append(len(left) % 100 != 0 or count(engine) >= 2 * BATCH - len(left))
    commit(engine, [an_event(number) for number in range(2 * BATCH)])

    async with relaying(url, broker, moments.append):
        await until(lambda: count(engine) == 0)

    assert broker.numbers == list(range(2 * BATCH))
    assert all(left)
    assert 1 < broker.most_at_a_time <= BATCH
    assert moments == [Relayed(event, due) for event, due in broker.taken]


@pytest.mark.databases("postgres", "mariadb")
async def test_an_event_that_is_committed_late_is_relayed(engine: Engine, url: str) -> None:
    """Its number is lower than those of events that were relayed before its commit."""
    broker = SwitchedBroker()
    async with relaying(url, broker):
        with Session(engine) as session:
            write(session, "bridge", [Outgoing(an_event(1))])
            session.flush()
            commit(engine, [an_event(2)])
            await until(lambda: broker.numbers == [2])
            session.commit()
        await until(lambda: count(engine) == 0)

    assert broker.numbers == [2, 1]


@pytest.mark.databases("postgres", "mariadb")
async def test_relays_share_the_work_and_keep_the_order_of_each_key(engine: Engine, url: str) -> None:
    """Each event is published once. Events of one key are published in the order of their commits."""
    broker, told = SwitchedBroker(), (list[Moment](), list[Moment]())
    commit(engine, [an_event(number) for number in range(4 * BATCH)])
    commit(engine, [keyed(number, f"order-{number % 50}") for number in range(4 * BATCH, 6 * BATCH)])

    async with relaying(url, broker, told[0].append), relaying(url, broker, told[1].append):
        await until(lambda: count(engine) == 0)

    by_key = defaultdict(list)
    for event, _ in broker.taken:
        by_key[event.handling.key].append(int(event.data))
    assert {int(event.data) for event, _ in broker.taken} == set(range(6 * BATCH))
    assert len(broker.taken) == 6 * BATCH
    assert all(by_key[key] == sorted(by_key[key]) for key in by_key.keys() - {None})
    assert min(map(len, told)) > 0


@pytest.mark.databases("postgres", "mariadb")
async def test_an_event_waits_for_an_earlier_one_of_its_key_that_another_relay_has(engine: Engine, url: str) -> None:
    """Other events do not wait."""
    slow, broker = SwitchedBroker("silence"), SwitchedBroker()
    commit(engine, [keyed(1, "a")])

    async with AsyncExitStack() as slowly:
        await slowly.enter_async_context(relaying(url, slow))
        await until(lambda: bool(slow.unconfirmed))
        async with relaying(url, broker):
            commit(engine, [keyed(2, "a"), keyed(3, "b"), an_event(4)])
            await until(lambda: 4 in broker.numbers)
            before = broker.numbers
            await slowly.aclose()
            await until(lambda: count(engine) == 0)

    assert before == [3, 4]
    assert broker.numbers == [3, 4, 1, 2]


@pytest.mark.databases("sqlite")
async def test_one_process_relays_a_file(engine: Engine, url: str) -> None:
    """Each event is published once."""
    broker = SwitchedBroker()
    commit(engine, [an_event(number) for number in range(2 * BATCH)])

    async with relaying(url, broker), relaying(url, broker):
        await until(lambda: count(engine) == 0)

    assert broker.numbers == list(range(2 * BATCH))


async def test_events_wait_for_the_broker(engine: Engine, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log says so, and says it again when they are published."""
    caplog.set_level(logging.INFO, "bridge")
    broker = SwitchedBroker("gone")
    commit(engine, [an_event(number) for number in range(20)])

    async with relaying(url, broker):
        await until(lambda: "stay there and are tried again" in caplog.text)
        broker.answer = "confirm"
        await until(lambda: "is empty again; 20 events were published" in caplog.text)

    assert broker.numbers == list(range(20))
    assert count(engine) == 0


async def test_a_refused_event_stays_and_the_others_go_on(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again while further events arrive all the time."""
    monkeypatch.setattr(relay_module, "PASS_SECONDS", 0.1)
    broker, number = SwitchedBroker(), 1
    broker.answers["mail.sent"] = "full"
    commit(engine, [an_event(0, "mail.sent"), *(an_event(number) for number in range(1, 10))])

    async with relaying(url, broker):
        await until(lambda: len(broker.taken) == 9)
        del broker.answers["mail.sent"]
        while 0 not in broker.numbers:
            number += 1
            commit(engine, [an_event(number)])
            await asyncio.sleep(0)
            assert number < 20_000
        await until(lambda: count(engine) == 0)


@pytest.mark.databases("postgres")
async def test_a_commit_wakes_the_relay(
    engine: Engine, url: str, postgres: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay looks by itself only after a minute here. After a restart of the database it listens again."""
    monkeypatch.setattr(stores, "HEARTBEAT", 60.0)
    monkeypatch.setattr("bridge.publishing.outbox.store.HEARTBEAT", 60.0)
    broker = SwitchedBroker()

    async with relaying(url, broker) as relay:
        await until(lambda: relay.store.wake_up.listens)
        await asyncio.to_thread(commit, engine, [an_event(1)])
        await until(lambda: broker.numbers == [1] and count(engine) == 0)
        postgres.stop()
        postgres.start()
        await until(lambda: relay.store.wake_up.listens)
        await asyncio.to_thread(commit, engine, [an_event(2)])
        await until(lambda: broker.numbers == [1, 2])


@pytest.mark.databases("postgres", "mariadb")
async def test_the_relay_waits_for_the_database(
    engine: Engine, url: str, kind: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so. An event that was published and could not be deleted is deleted then, and not published again
    by this process."""
    server: DatabaseServer = request.getfixturevalue(kind)
    broker = SwitchedBroker()
    broker.before_answer = server.stop
    commit(engine, [an_event(1)])

    async with relaying(url, broker):
        await until(lambda: "the events in the outbox" in caplog.text)
        broker.before_answer = lambda: None
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(commit, engine, [an_event(2)])
        await until(lambda: count(engine) == 0)

    assert broker.numbers == [1, 2]


@pytest.mark.databases("postgres", "mariadb")
async def test_a_relay_that_is_cut_off_loses_nothing(engine: Engine, url: str) -> None:
    """What it has published and not deleted is published again by another one, with the same id."""
    cut, broker = SwitchedBroker("silence"), SwitchedBroker()
    commit(engine, [an_event(1)])

    async with relaying(url, cut):
        await until(lambda: bool(cut.unconfirmed))
        async with relaying(url, broker):
            await asyncio.sleep(0.1)  # the first relay has the event
            assert broker.numbers == []
    async with relaying(url, broker):
        await until(lambda: count(engine) == 0)

    assert [event.id for event, _ in broker.taken] == [event.id for event in cut.unconfirmed[:1]]


async def test_missing_tables_are_named(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """With the program that prints them. The relay goes on when they are there, and says so."""
    caplog.set_level(logging.INFO, "bridge")
    async with relaying(url, SwitchedBroker()):
        await until(lambda: "bridge_outbox" in caplog.text)
        await asyncio.to_thread(tables("bridge").metadata.create_all, create_engine(url))
        await until(lambda: "is empty again; 0 events were published" in caplog.text)

    assert "`bridge-outbox ddl` prints the statements that make the tables" in caplog.text
