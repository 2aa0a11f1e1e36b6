"""SQLite only: the transactions of a consumer, which settle many events together."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Backlog, Consumer
from bridge.brokers.sqlite.queues import consumer as consuming_module
from bridge.brokers.sqlite.queues import rounds
from bridge.brokers.sqlite.queues.settling import Settling
from bridge.errors import BrokerUnavailable, DeliveryLost
from bridge.ledger import Dead
from bridge.queues import Queue
from tests.contract.acts import a_letter, await_backlog, consuming, entries_of, publish_some, take
from tests.contract.sqlite_site import SqliteSite
from tests.limits import PATIENCE


@pytest.fixture
def site(sqlite_site: SqliteSite) -> SqliteSite:
    """A file of this test's own."""
    return sqlite_site


@pytest.fixture
async def consumer(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Consumer]:
    """A consumer that holds four of ten events. It waits ten minutes for a tick while it has events to hand out, and as
    long for its heartbeat."""
    monkeypatch.setattr(consuming_module, "_HEARTBEAT", 600.0)
    await broker.declare([Queue("default")])
    await publish_some(broker, 10)
    consumer = await consuming(broker, "default", prefetch=4)
    await await_backlog(consumer, default=Backlog(6, 4, 0))
    monkeypatch.setattr(rounds, "TICK", 600.0)
    yield consumer
    await consumer.close()


async def gathered(*settlements: object) -> list[object]:
    """Return the results or errors of settlements that wait for one round."""
    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*settlements, return_exceptions=True)  # type: ignore[call-overload, no-any-return]


async def test_settlements_wait_for_a_tick(consumer: Consumer) -> None:
    """While there are events to hand out, a settlement waits for others."""
    delivery = await take(consumer)

    acking = asyncio.create_task(delivery.ack())
    await consumer.backlog()

    assert not acking.done()
    await consumer.stop()  # gives the other events back, which begins a round
    await acking
    assert await consumer.backlog() == {"default": Backlog(9, 0, 0)}


async def test_acknowledgements_alone_wait_longer_while_most_is_held(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acknowledgements wait for a long tick, until a quarter of what may be held is not held any more."""
    monkeypatch.setattr(rounds, "TICK", 0.0)
    await consumer.adjust({"default": 8})
    await await_backlog(consumer, default=Backlog(2, 8, 0))
    monkeypatch.setattr(rounds, "LONG_TICK", 600.0)
    first, second = await take(consumer), await take(consumer)
    acking = asyncio.create_task(first.ack())
    assert await consumer.backlog() == {"default": Backlog(2, 8, 0)}
    assert not acking.done()

    assert await gathered(second.ack(), acking) == [None, None]
    assert await consumer.backlog() == {"default": Backlog(0, 8, 0)}


async def test_a_consumer_with_nothing_to_hand_out_waits_for_no_tick(consumer: Consumer) -> None:
    """The settlements that wait are written as soon as the next event is wanted and there is none."""
    first = await take(consumer)
    acking = asyncio.create_task(first.ack())
    await asyncio.sleep(0)
    for _ in range(3):
        await take(consumer)
    assert not acking.done()

    await take(consumer)

    assert await gathered(acking) == [None]


async def test_a_look_of_a_waiting_worker_takes_no_acknowledgements_along(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the worker waits for an event, a look does not wait until acknowledgements are on the disk. They are
    written a long tick after the ones before."""
    await broker.declare([Queue("default")])
    await publish_some(broker, 2)
    consumer = await consuming(broker, "default", prefetch=4)
    first, second = await take(consumer), await take(consumer)
    await first.ack()
    monkeypatch.setattr(rounds, "LONG_TICK", 600.0)
    acking = asyncio.create_task(second.ack())
    await publish_some(broker, 1)

    await take(consumer)

    assert not acking.done()
    assert await consumer.backlog() == {"default": Backlog(0, 2, 0)}
    await consumer.close()
    assert await gathered(acking) == [None]


@pytest.mark.parametrize("prefetch", [1, 4, 8])
async def test_one_free_place_is_filled_at_once(broker: Broker, monkeypatch: pytest.MonkeyPatch, prefetch: int) -> None:
    """The worker waits for an event, and some are ready: the acknowledgement that makes room is followed by a look,
    however small the room is."""
    monkeypatch.setattr(consuming_module, "_HEARTBEAT", 600.0)
    await broker.declare([Queue("default")])
    await publish_some(broker, prefetch + 3)
    consumer = await consuming(broker, "default", prefetch=prefetch)
    deliveries = [await take(consumer) for _ in range(prefetch)]
    for _ in range(3):
        waiting = asyncio.create_task(take(consumer))
        await asyncio.sleep(0)
        await deliveries.pop().ack()
        deliveries.append(await waiting)

    await consumer.close()


async def test_a_returned_event_is_there_for_a_look(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look of a waiting worker finds an event that is given back, and one that is retried at its time, without a
    heartbeat."""
    monkeypatch.setattr(consuming_module, "_HEARTBEAT", 600.0)
    await broker.declare([Queue("default")])
    await publish_some(broker, 1)
    consumer = await consuming(broker, "default", prefetch=4)

    await (await take(consumer)).give_back()
    again = await take(consumer)
    await again.retry(again.envelope, timedelta(seconds=0.01))

    await (await take(consumer)).ack()
    await consumer.close()


async def test_a_closed_consumer_has_written_its_settlements(broker: Broker, consumer: Consumer) -> None:
    """A settlement that waits for its tick is written before the leases end."""
    delivery = await take(consumer)
    acking = asyncio.create_task(delivery.ack())
    await asyncio.sleep(0)
    for _ in range(3):
        await take(consumer)

    await consumer.close()

    assert await gathered(acking) == [None]
    assert await broker.consumer().backlog() == {"default": Backlog(9, 0, 0)}


async def test_a_settlement_that_waits_can_be_withdrawn(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event of a cancelled settlement is still held, and counts towards the prefetch."""
    delivery = await take(consumer)
    acking = asyncio.create_task(delivery.ack())
    await asyncio.sleep(0)

    acking.cancel()

    assert [type(error) for error in await gathered(acking)] == [asyncio.CancelledError]
    monkeypatch.setattr(rounds, "TICK", 0.0)
    await consumer.adjust({"default": 3})
    assert await consumer.backlog() == {"default": Backlog(7, 3, 0)}
    await consumer.stop()
    await delivery.ack()
    assert await consumer.backlog() == {"default": Backlog(9, 0, 0)}


async def test_one_event_is_settled_once_in_a_round(broker: Broker, consumer: Consumer) -> None:
    """Of two acknowledgements in one round, the second is too late, and spoils neither the first nor its neighbours."""
    taken = [await take(consumer) for _ in range(4)]

    results = await gathered(taken[0].ack(), taken[1].ack(), taken[0].ack(), taken[2].dead_letter(a_letter(taken[2])))

    assert [type(result) for result in results] == [type(None), type(None), DeliveryLost, type(None)]
    assert [type(entry) for entry in await entries_of(broker)] == [Dead]
    await await_backlog(consumer, default=Backlog(3, 4, 0))


async def test_a_settlement_that_fails_spoils_no_neighbour(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settlement that SQLite refuses fails alone, leaves no change, and its event is still held."""
    taken = [await take(consumer) for _ in range(4)]
    release = Settling.give_back

    def refused(self: Settling, connection: sqlite3.Connection, number: int, owner: str) -> None:
        release(self, connection, number, owner)
        raise sqlite3.OperationalError("no space")

    monkeypatch.setattr(Settling, "give_back", refused)

    results = await gathered(taken[0].ack(), taken[1].give_back(), taken[2].ack())

    assert [type(result) for result in results] == [type(None), BrokerUnavailable, type(None)]
    monkeypatch.undo()
    await consumer.adjust({"default": 3})
    await await_backlog(consumer, default=Backlog(5, 3, 0))
    await taken[1].ack()
    await await_backlog(consumer, default=Backlog(4, 3, 0))
