"""Keys: an event that holds its key keeps other events of its name and key out, on a broker that knows keys."""

import asyncio
from datetime import timedelta

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.errors import DeferError, DuplicateEvent, Unroutable
from bridge.event import Event
from bridge.handling import Handling
from bridge.queues import Queue
from tests.contract.acts import an_event, consuming, soon, take_and_ack
from tests.contract.conftest import OpenBroker
from tests.limits import PATIENCE

HOUR = timedelta(hours=1)

on_sqlite = pytest.mark.parametrize("site", ["sqlite"], indirect=True)
on_rabbitmq = pytest.mark.parametrize("site", [pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)], indirect=True)


def keyed(key: str | None = "order-17", name: str = "order.paid") -> Event:
    """Return a new event with this key."""
    return an_event(name)._replace(handling=Handling(key=key))


async def test_a_key_alone_is_a_name_and_keeps_nothing_out(broker: Broker) -> None:
    """Both events arrive, with their key."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    for _ in range(2):
        await publisher.publish(keyed())

    taken = await take_and_ack(await consuming(broker, "default"), 2)
    assert [delivery.envelope.event.handling.key for delivery in taken] == ["order-17", "order-17"]


@on_rabbitmq
async def test_a_broker_that_knows_no_keys_says_so(broker: Broker) -> None:
    """Nothing is published. The error says what would be needed."""
    await broker.declare([Queue("default")])
    assert isinstance(broker, RabbitBroker)
    with pytest.raises(DeferError, match=r"within=1:00:00: expected a broker that remembers keys. RabbitMQ does not"):
        await broker.publisher().publish(keyed(), within=HOUR)


@on_sqlite
async def test_of_simultaneous_events_with_one_key_one_is_published(broker: Broker, another_broker: OpenBroker) -> None:
    """The others raise the id of the first, in all processes. Delayed events and those of other queues count too."""
    await broker.declare([Queue("default"), Queue("audit", ("order.#",))])
    publishers = [broker.publisher(), another_broker().publisher()]
    events = [keyed() for _ in range(40)]

    answers = await asyncio.gather(
        *(
            publishers[at % 2].publish(event, soon(HOUR) if at % 3 else None, within=HOUR)
            for at, event in enumerate(events)
        ),
        return_exceptions=True,
    )

    (first,) = [event for event, answer in zip(events, answers, strict=True) if answer is None]
    assert {answer.event_id for answer in answers if isinstance(answer, DuplicateEvent)} == {first.id}
    assert sum(isinstance(answer, DuplicateEvent) for answer in answers) == 39


@on_sqlite
async def test_a_key_counts_for_its_event_name_and_its_time(broker: Broker) -> None:
    """Another name or key is another event, and so is one that comes after the time."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(keyed(name="order.sent"), within=HOUR)
    await publisher.publish(keyed("order-18"), within=HOUR)
    await publisher.publish(keyed(), within=timedelta(milliseconds=1))

    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await publisher.publish(keyed(), within=HOUR)
            except DuplicateEvent:
                continue
            break

    with pytest.raises(DuplicateEvent):
        await publisher.publish(keyed(), within=HOUR)
    assert len(await take_and_ack(await consuming(broker, "default"), 4)) == 4


@on_sqlite
async def test_an_event_that_was_not_published_holds_no_key(broker: Broker) -> None:
    """The key is written in the transaction of the event."""
    await broker.declare([Queue("mail", ("mail.#",))])
    publisher = broker.publisher()
    with pytest.raises(Unroutable):
        await publisher.publish(keyed(), within=HOUR)

    await broker.declare([Queue("default")])
    await publisher.publish(keyed(), within=HOUR)
