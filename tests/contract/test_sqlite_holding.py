"""SQLite only: what a consumer holds, beyond the contract, for how long, and when it looks for events."""

import asyncio
import time
from contextlib import closing
from datetime import timedelta

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Backlog
from bridge.errors import DeliveryLost
from bridge.ledger import Dead
from bridge.queues import Queue
from tests.contract.acts import (
    AT_ONCE,
    a_letter,
    an_envelope,
    an_event,
    consuming,
    entries_of,
    eventually,
    now,
    take,
)
from tests.contract.conftest import OpenBroker
from tests.contract.sqlite_site import SqliteSite


@pytest.fixture
def site(sqlite_site: SqliteSite) -> SqliteSite:
    """A file of this test's own."""
    return sqlite_site


async def test_delivery_limit(site: SqliteSite, broker: Broker) -> None:
    """An event whose workers died a hundred times becomes a dead letter, and is not delivered again."""
    await broker.declare([Queue("default")])
    event = an_event()
    await broker.publisher().publish(event)
    consumer = await consuming(broker, "default")
    await take(consumer)
    await consumer.close()
    with closing(site.connection()) as connection:
        connection.execute('UPDATE "bridge.delivery" SET count = 100')

    await consuming(broker, "default")

    (entry,) = await eventually(lambda: entries_of(broker), bool)
    assert isinstance(entry, Dead)
    assert (entry.reason, entry.event_id, entry.queue) == ("delivery limit", event.id, "default")
    assert "100 times" in entry.error_message


async def test_token_outlives_given_back_and_counts_no_delivery(site: SqliteSite, broker: Broker) -> None:
    """Giving an event back keeps its token, and does not count towards the delivery limit."""
    await broker.declare([Queue("default")])
    await broker.publisher().publish(an_event())
    consumer = await consuming(broker, "default", prefetch=1)
    for _ in range(5):
        await (await take(consumer)).give_back()
    await take(consumer)

    with closing(site.connection()) as connection:
        assert connection.execute('SELECT count FROM "bridge.delivery"').fetchall() == [(1,)]


async def test_adjusted_to_less_counts_what_was_handed_out(broker: Broker) -> None:
    """After the prefetch shrinks to the number of deliveries handed out, the consumer holds no others."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    for _ in range(10):
        await publisher.publish(an_event())
    consumer = await consuming(broker, "default", prefetch=6)
    await take(consumer)

    await consumer.adjust({"default": 1})

    assert await consumer.backlog() == {"default": Backlog(9, 1, 0)}


async def test_settled_twice(broker: Broker) -> None:
    """A settled delivery cannot be settled again."""
    await broker.declare([Queue("default")])
    await broker.publisher().publish(an_event())
    delivery = await take(await consuming(broker, "default"))
    await delivery.ack()

    for settle in (delivery.ack, delivery.give_back, lambda: delivery.dead_letter(a_letter(delivery))):
        with pytest.raises(DeliveryLost):
            await settle()
    assert await entries_of(broker) == []


async def test_lease_that_was_taken_away(site: SqliteSite, another_broker: OpenBroker) -> None:
    """If a worker's lock file is removed, another worker gets its events, and the first one can settle none of them."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    await first.publisher().publish(an_event())
    losing = await take(await consuming(first, "default"))
    (lock,) = site.path.parent.glob("bridge.db.worker-*")
    lock.unlink()

    taking = await take(await consuming(second, "default"))

    for settle in (losing.ack, losing.give_back, lambda: losing.retry(losing.envelope, AT_ONCE)):
        with pytest.raises(DeliveryLost):
            await settle()
    assert taking.token == losing.token
    await taking.ack()


async def test_due_is_awaited_by_a_timer(broker: Broker) -> None:
    """A due event is delivered at its time, routed or already in a queue, and not only at the next heartbeat."""
    await broker.declare([Queue("default")])
    publisher, consumer = broker.publisher(), await consuming(broker, "default")
    late: list[float] = []

    for number in range(6):
        due = now() + timedelta(seconds=0.15)
        if number % 2:
            await publisher.put(an_envelope(), "default", due)
        else:
            await publisher.publish(an_event(), due)
        await (await take(consumer)).ack()
        late.append((now() - due).total_seconds())

    assert min(late) >= 0
    assert sorted(late)[1] < 0.1


async def test_published_while_the_consumer_looks(broker: Broker) -> None:
    """An event that is published during a look which misses it is delivered without waiting for the heartbeat."""
    await broker.declare([Queue("default")])
    publisher, consumer = broker.publisher(), await consuming(broker, "default")
    await publisher.publish(an_event())
    delivery = await take(consumer)
    seconds: list[float] = []

    for turns in range(60):
        acking = asyncio.create_task(delivery.ack())
        for _ in range(turns % 6):
            await asyncio.sleep(0)
        began = time.monotonic()
        await publisher.publish(an_event())
        delivery = await take(consumer)
        seconds.append(time.monotonic() - began)
        await acking

    assert sum(each > 0.5 for each in seconds) <= 3  # a machine may stall; a heartbeat is 0.7 s after the other
