"""SQLite only: promises of its rows beyond the contract: exact counts, strict order, speed with a long backlog."""

import asyncio
import time
from contextlib import closing
from datetime import timedelta

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Backlog
from bridge.envelope import encode_head
from bridge.errors import BrokerRefused, Unroutable
from bridge.ledger import Dead, Entry
from bridge.queues import Queue
from tests.contract.acts import (
    a_letter,
    an_envelope,
    an_event,
    consuming,
    entries_of,
    eventually,
    now,
    take,
    take_and_ack,
)
from tests.contract.conftest import OpenBroker
from tests.contract.sqlite_site import SqliteSite


@pytest.fixture
def site(sqlite_site: SqliteSite) -> SqliteSite:
    """A file of this test's own."""
    return sqlite_site


async def test_burst_in_order(broker: Broker) -> None:
    """Ten thousand events that are published at once are delivered in order of publishing."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    events = [an_event() for _ in range(10_000)]

    await asyncio.gather(*(publisher.publish(event) for event in events))

    consumer = await consuming(broker, "default", prefetch=200)
    ids: list[str] = []
    while len(ids) < len(events):
        deliveries = [await take(consumer) for _ in range(200)]
        await asyncio.gather(*(delivery.ack() for delivery in deliveries))
        ids += [delivery.envelope.event.id for delivery in deliveries]
    assert ids == [event.id for event in events]


async def test_oldest_due_first(broker: Broker) -> None:
    """The event that has been due longest is delivered first, whenever it was published."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    for age in (1, 3, 2):
        await publisher.put(an_envelope(an_event(f"age.{age}")), "default", now() - timedelta(minutes=age))

    taken = await take_and_ack(await consuming(broker, "default"), 3)

    assert [delivery.envelope.event.name for delivery in taken] == ["age.3", "age.2", "age.1"]


async def test_long_backlog_is_no_slower(site: SqliteSite, broker: Broker) -> None:
    """With a backlog of a hundred thousand events, taking and counting are as fast as without."""
    await broker.declare([Queue("default")])
    with closing(site.connection()) as connection:
        connection.execute(
            'INSERT INTO "bridge.event" (queue, due, name, head, data)'
            " WITH RECURSIVE counting(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counting WHERE n < 100000)"
            " SELECT 'default', n, 'a', ?, x'00' FROM counting",
            (encode_head(an_envelope()),),
        )
    consumer = await consuming(broker, "default", prefetch=8)
    began = time.monotonic()

    await take_and_ack(consumer, 500)

    assert time.monotonic() - began < 30  # sorting the backlog for each event would take a minute
    held = await eventually(consumer.backlog, lambda backlog: backlog["default"].held == 8)
    assert held == {"default": Backlog(ready=99_492, held=8, waiting=0)}


async def test_backlog_counts_what_others_hold(another_broker: OpenBroker) -> None:
    """Events that any worker holds are counted as held."""
    holding, looking = another_broker(), another_broker()
    await holding.declare([Queue("default"), Queue("mail", ("mail.#",))])
    publisher = holding.publisher()
    for _ in range(5):
        await publisher.publish(an_event())
    await consuming(holding, "default", prefetch=2)

    expected = {"default": Backlog(3, 2, 0), "mail": Backlog(0, 0, 0)}

    await eventually(looking.consumer().backlog, lambda backlog: backlog == expected)


async def test_backlog_of_what_is_not_routed_yet(broker: Broker) -> None:
    """A delayed event is counted for every queue that would take it now."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("audit", ("#",)), Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("mail.sent"), now() + timedelta(hours=1))
    await publisher.put(an_envelope(), "mail", now() + timedelta(hours=1))

    backlog = await broker.consumer().backlog()

    assert backlog == {"mail": Backlog(0, 0, 2), "audit": Backlog(0, 0, 1), "default": Backlog(0, 0, 0)}


async def test_nothing_is_left_of_what_was_acked(site: SqliteSite, broker: Broker) -> None:
    """Settled events leave no rows."""
    await broker.declare([Queue("default")])
    await broker.publisher().publish(an_event())

    await take_and_ack(await consuming(broker, "default"), 1)

    with closing(site.connection()) as connection:
        for table in ("event", "delivery"):
            assert connection.execute(f'SELECT count(*) FROM "bridge.{table}"').fetchone() == (0,)


async def test_letter_is_decided_about_once(broker: Broker) -> None:
    """A second decision about a letter is refused, also for the same decider, and publishes nothing."""
    await broker.declare([Queue("default")])
    await broker.publisher().publish(an_event())
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)
    await delivery.dead_letter(a_letter(delivery))
    await consumer.close()
    (dead,) = await entries_of(broker)

    async with broker.ledger().deciding() as decisions:
        await decisions.discard(dead.number, "ada", "")
        with pytest.raises(BrokerRefused, match=f"dead letter {dead.number}"):
            await decisions.redrive(dead.number, delivery.envelope, "default", "ada", "")
        with pytest.raises(BrokerRefused, match="dead letter 999"):
            await decisions.discard(999, "ada", "")

    assert len(await entries_of(broker)) == 2
    assert (await broker.consumer().backlog())["default"].ready == 0


async def test_long_ledger_is_read_in_pages(site: SqliteSite, broker: Broker) -> None:
    """A reader gets the entries that existed when it began, and does not block writers."""
    await broker.declare([Queue("default")])
    _fill_ledger(site, 2500)
    seen: list[Entry] = []

    async for entry in broker.ledger().entries():
        if len(seen) in (0, 1500):
            _fill_ledger(site, 1)
        seen.append(entry)

    assert [entry.number for entry in seen] == list(range(1, 2501))


def _fill_ledger(site: SqliteSite, count: int) -> None:
    with closing(site.connection()) as connection:
        connection.executemany(
            'INSERT INTO "bridge.ledger" (kind, time, letter, actor, note) VALUES (?, 0, 1, ?, ?)',
            (("discarded", "ada", "") for _ in range(count)),
        )


async def test_pattern_taken_away(broker: Broker) -> None:
    """A queue that is declared again no longer takes events that only its old patterns match."""
    await broker.declare([Queue("mail", ("mail.#", "letter.#"))])
    await broker.declare([Queue("mail", ("mail.#",))])

    with pytest.raises(Unroutable):
        await broker.publisher().publish(an_event("letter.sent"))


async def test_clock_set_back(site: SqliteSite, broker: Broker) -> None:
    """After the clock is set back, due events stay due; later ones are due by the clock."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("at.once"))
    await publisher.put(an_envelope(an_event("came.due")), "default", now() - timedelta(seconds=1))
    await publisher.publish(an_event("later"), now() + timedelta(minutes=1))
    consumer = await consuming(broker, "default", prefetch=2)
    for delivery in [await take(consumer) for _ in range(2)]:
        await delivery.give_back()  # taking has marked the events as due
    await consumer.close()
    with closing(site.connection()) as connection, connection:
        connection.execute('UPDATE "bridge.event" SET due = due + 3600 * 1000000')  # an hour back, for the file

    assert (await broker.consumer().backlog())["default"] == Backlog(ready=2, held=0, waiting=1)


@pytest.mark.parametrize("damage", ["CAST(x'ff' AS TEXT)", "x'ff'", "5", "''"])
@pytest.mark.parametrize("column", ["name", "head"])
@pytest.mark.parametrize("queue", ["'default'", "NULL"])
async def test_damaged_row(site: SqliteSite, broker: Broker, queue: str, column: str, damage: str) -> None:
    """A row that cannot be read prevents neither taking other rows nor counting."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("damaged"))
    with closing(site.connection()) as connection, connection:
        connection.execute(f'UPDATE "bridge.event" SET queue = {queue}, {column} = {damage}')
    await publisher.publish(an_event("sound"))

    consumer = await consuming(broker, "default")
    names = {(await take(consumer)).envelope.event.name}
    names |= {letter.event_name for letter in await entries_of(broker) if isinstance(letter, Dead)}

    assert (await broker.consumer().backlog())["default"].waiting == 0
    assert "sound" in names or column == "name"
