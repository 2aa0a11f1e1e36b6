"""Events that are published for a later time."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Self

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.errors import Unroutable
from bridge.ledger import Dead
from bridge.queues import Queue
from tests.contract.acts import (
    SOON,
    an_envelope,
    an_event,
    consuming,
    entries_of,
    eventually,
    names_until_last,
    now,
    soon,
    take,
    take_and_ack,
)
from tests.contract.conftest import OpenBroker, Site

if TYPE_CHECKING:
    from tests.contract.rabbitmq_site import RabbitSite

TRIES = (1.5, 6.0, 24.0)
"""Seconds until an event is due before which a queue has to be declared or deleted. A broker that is busy may take
longer than the first, and the test tries again."""


async def test_never_early(broker: Broker) -> None:
    """A delayed event arrives whole, and not before its time."""
    await broker.declare([Queue("default")])
    consumer = await consuming(broker, "default")
    event, due = an_event(), soon()

    await broker.publisher().publish(event, due)

    delivery = await take(consumer)
    assert now() >= due
    assert delivery.envelope.event == event


async def test_round_begins_when_due(broker: Broker) -> None:
    """The first round of a delayed event begins when it is due, so that retry policies do not count the delay."""
    await broker.declare([Queue("default")])
    due = soon()

    await broker.publisher().publish(an_event(), due)

    delivery = await take(await consuming(broker, "default"))
    assert abs(delivery.envelope.round_began - due) < timedelta(milliseconds=1)


async def test_waiting_holds_nobody_up(broker: Broker) -> None:
    """A due event is delivered before one that is not due, in whichever order they were published."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("later"), soon())

    await publisher.publish(an_event("now"))

    taken = await take_and_ack(await consuming(broker, "default"), 2)
    assert [delivery.envelope.event.name for delivery in taken] == ["now", "later"]


async def test_already_due(broker: Broker) -> None:
    """An event whose time is past is routed or refused at once."""
    await broker.declare([Queue("mail", ("mail.#",))])
    publisher = broker.publisher()

    await publisher.publish(an_event("mail.sent"), now() - timedelta(days=1))

    assert (await take(await consuming(broker, "mail"))).envelope.event.name == "mail.sent"
    with pytest.raises(Unroutable):
        await publisher.publish(an_event("other"), now() - timedelta(days=1))


async def test_routed_when_due_to_all_that_take_it(broker: Broker) -> None:
    """A delayed event goes once to every queue that takes it, like any other."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("audit", ("#",)), Queue("default")])
    consumers = [await consuming(broker, queue) for queue in ("mail", "audit")]
    event = an_event("mail.sent")

    await broker.publisher().publish(event, soon())

    for consumer in consumers:
        assert (await take(consumer)).envelope.event == event


async def test_catch_all_takes_the_rest_when_due(broker: Broker) -> None:
    """A delayed event that no pattern takes goes to the catch-all."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("default")])
    publisher = broker.publisher()
    due = soon()
    await publisher.publish(an_event("mail.sent"), due)
    await publisher.publish(an_event("other"), due)

    delivery = await take(await consuming(broker, "mail"))
    rest = await take(await consuming(broker, "default"))

    assert (delivery.envelope.event.name, rest.envelope.event.name) == ("mail.sent", "other")


async def test_the_end_of_the_calendar(broker: Broker) -> None:
    """An event may be due at the last moment that a datetime has. It waits, and holds nobody up."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("last"), datetime.max.replace(tzinfo=UTC))

    await publisher.publish(an_event("soon"), soon())

    taken = await take_and_ack(await consuming(broker, "default"), 1)
    assert [delivery.envelope.event.name for delivery in taken] == ["soon"]


async def test_queue_declared_while_it_waits(broker: Broker) -> None:
    """A delayed event is routed to the queues that exist when it is due, not when it is published."""
    await broker.declare([Queue("mail", ("mail.#",))])
    for number, seconds in enumerate(TRIES):
        event, due = an_event(f"account{number}.created"), soon(timedelta(seconds=seconds))
        await broker.publisher().publish(event, due)

        await broker.declare([Queue(f"accounts{number}", (f"account{number}.#",))])
        if now() < due:
            break

    assert (await take(await consuming(broker, f"accounts{number}"))).envelope.event == event


async def test_no_queue_left(site: Site, broker: Broker) -> None:
    """An event that no queue takes when it is due becomes a whole dead letter without a queue."""
    await broker.declare([Queue("other", ("other.#",))])
    await consuming(broker, "other")
    for seconds in TRIES:
        await broker.declare([Queue("mail", ("mail.#",)), Queue("other", ("other.#",))])
        event, due = an_event("mail.sent"), soon(timedelta(seconds=seconds))
        await broker.publisher().publish(event, due)

        await site.drop_queue("mail")
        if now() < due:
            break

    *_, entry = await eventually(
        lambda: entries_of(broker), lambda entries: any(getattr(each, "event_id", "") == event.id for each in entries)
    )
    assert isinstance(entry, Dead)
    assert (entry.reason, entry.queue, entry.event_id, entry.event_name) == ("unroutable", "", event.id, "mail.sent")
    letter = await broker.ledger().letter(entry.number)
    assert letter is not None
    assert letter.envelope.event == event


async def test_redrive_of_what_found_no_queue(broker: Broker) -> None:
    """A letter without a queue is routed by its name when it is redriven."""
    await broker.declare([Queue("other", ("other.#",))])
    await consuming(broker, "other")
    await broker.publisher().publish(an_event("mail.sent"), soon())
    (entry,) = await eventually(lambda: entries_of(broker), bool)
    await broker.declare([Queue("mail", ("mail.#",))])
    ledger = broker.ledger()
    letter = await ledger.letter(entry.number)
    assert letter is not None

    async with ledger.deciding() as decisions:
        await decisions.redrive(entry.number, letter.revived(now()), "", "ada", "")

    assert (await take(await consuming(broker, "mail"))).envelope.round == 2


async def test_put_for_later(broker: Broker) -> None:
    """An envelope can be put into one queue for a later time."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("audit", ("#",))])
    consumer = await consuming(broker, "mail")
    envelope, due = an_envelope(an_event("mail.sent")), soon()

    await broker.publisher().put(envelope, "mail", due)

    assert (await take(consumer)).envelope == envelope
    assert now() >= due
    await broker.publisher().put(an_envelope(an_event("last")), "audit")
    assert await names_until_last(await consuming(broker, "audit")) == []


async def test_waits_while_nobody_is_there(another_broker: OpenBroker) -> None:
    """An event waits for its time while no process of the site runs."""
    before = another_broker()
    await before.declare([Queue("default")])
    due = soon()
    await before.publisher().publish(an_event(), due)
    await before.close()

    after = another_broker()

    await take(await consuming(after, "default"))
    assert now() >= due


async def test_far_future(broker: Broker) -> None:
    """An event that is due in years is accepted, and blocks no other event."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("far"), now() + timedelta(days=10_000))

    await publisher.publish(an_event("last"))

    assert await names_until_last(await consuming(broker, "default")) == []


@pytest.mark.rabbitmq
async def test_a_clock_that_is_set_brings_no_retry_on_rabbitmq_forward(
    rabbit_site: "RabbitSite", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setting this machine's clock forward makes no retry early, because RabbitMQ counts the wait."""

    class Ahead(datetime):
        """A clock that is one hour ahead since the retry was decided on."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(hours=1)

    broker = open_broker(rabbit_site.url, rabbit_site.namespace)
    await broker.declare([Queue("default")])
    await broker.publisher().publish(an_event())
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)
    due = soon()
    monkeypatch.setattr("bridge.brokers.rabbitmq.publishing.sender.datetime", Ahead)

    await delivery.retry(delivery.envelope, SOON)

    await take(consumer)
    assert now() >= due
    await broker.close()
