"""Publishing many events, and with little time."""

import asyncio

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.errors import BrokerUnavailable, DeferUnconfirmed, SettingsError
from bridge.queues import Queue
from tests.contract.acts import an_event, consuming, names_until_last, take_and_ack
from tests.deadlines import within


async def test_many_at_once(broker: Broker) -> None:
    """Each of a thousand simultaneous publishes arrives once."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    events = [an_event() for _ in range(1000)]

    await asyncio.gather(*(publisher.publish(event) for event in events))

    taken = await take_and_ack(await consuming(broker, "default", prefetch=100), 1000)
    assert {delivery.envelope.event.id for delivery in taken} == {event.id for event in events}


async def test_out_of_time(broker: Broker) -> None:
    """The result of a publish with too little time is true: after `BrokerUnavailable` nothing was published, after a
    return the event was, and only `DeferUnconfirmed` leaves it open."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("warm-up"))
    fates: dict[str, str] = {"warm-up": "published"}

    for number in range(200):
        event = an_event(f"event.{number}")
        try:
            await publisher.publish(event, deadline=within(number * 0.00002))
            fates[event.name] = "published"
        except BrokerUnavailable:
            fates[event.name] = "nothing"
        except DeferUnconfirmed as error:
            assert error.event_id == event.id
            fates[event.name] = "open"

    await publisher.publish(an_event("last"))
    arrived = await names_until_last(await consuming(broker, "default"))
    assert len(arrived) == len(set(arrived))
    assert {name for name, fate in fates.items() if fate == "published"} <= set(arrived)
    assert not {name for name, fate in fates.items() if fate == "nothing"} & set(arrived)
    assert len(set(fates.values())) > 1  # some were in time, and some were not


async def test_cancelled_before_it_was_written(broker: Broker) -> None:
    """A publish that is cancelled at once is withdrawn."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    publishing = asyncio.create_task(publisher.publish(an_event("first")))
    await asyncio.sleep(0)

    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing

    await publisher.publish(an_event("last"))
    assert await names_until_last(await consuming(broker, "default")) == []


async def test_name_says_what_and_where_without_a_password(broker: Broker) -> None:
    """The broker's name can be logged: it has the kind and the address, and no password."""
    assert "guest:guest" not in broker.name
    assert broker.name


@pytest.mark.parametrize("url", ["", "bridge.db", "redis://localhost/", "sqlite3:///bridge.db"])
def test_unknown_scheme(url: str) -> None:
    """A URL with an unknown scheme is a settings error that says what was expected."""
    with pytest.raises(SettingsError, match="expected sqlite"):
        open_broker(url, "bridge")
