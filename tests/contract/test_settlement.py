"""Settlement of a delivery: retry, dead letter, and messages that the consumer settles itself."""

from dataclasses import replace

import pytest

from bridge.attempt import Attempt, Error
from bridge.brokers.contract.broker import Broker
from bridge.envelope import Envelope, encode_head
from bridge.errors import DeliveryLost
from bridge.ledger import Dead, Letter, Transcript
from bridge.queues import Queue
from tests.contract.acts import (
    AT_ONCE,
    SOON,
    a_letter,
    an_envelope,
    an_event,
    consuming,
    entries_of,
    eventually,
    names_until_last,
    now,
    soon,
    take,
)
from tests.contract.conftest import OpenBroker, Site


def _tried(envelope: Envelope) -> Envelope:
    """Return the envelope after a failed attempt, with every field that an envelope can have."""
    error = Error("app.Trouble", "naïve “quotes” & \n lines", "Traceback …\n" * 50)
    attempt = Attempt(envelope.round, envelope.attempt_number, now(), 0.25, "Failed", "v1.2.3", error)
    return envelope.remember(attempt)._replace(
        spent=envelope.spent + 1,
        waited=envelope.waited + 2.5,
        overloaded_since=now(),
        deferred_again=3,
        finished=("shop.mail", "shop.audit"),
    )


async def test_retry_replaces_the_delivery(broker: Broker) -> None:
    """A retry has the given history, and is another message."""
    await broker.declare([Queue("default")])
    await broker.publisher().publish(an_event(data=bytes(range(256))))
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)
    tried = _tried(delivery.envelope)

    await delivery.retry(tried, AT_ONCE)

    again = await take(consumer)
    assert again.envelope == tried
    assert again.token != delivery.token


async def test_retry_never_early(broker: Broker) -> None:
    """A retry is not delivered before it is due."""
    await broker.declare([Queue("default")])
    await broker.publisher().publish(an_event())
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)
    due = soon()

    await delivery.retry(_tried(delivery.envelope), SOON)

    await take(consumer)
    assert now() >= due


async def test_retry_in_its_own_queue(broker: Broker) -> None:
    """Of the queues that took an event, only the one that retries gets it again."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("audit", ("#",))])
    publisher = broker.publisher()
    await publisher.publish(an_event("mail.sent"))
    mail, audit = await consuming(broker, "mail"), await consuming(broker, "audit")
    await (await take(audit)).ack()
    delivery = await take(mail)

    await delivery.retry(_tried(delivery.envelope), SOON)

    assert (await take(mail)).envelope.spent == 1
    await publisher.put(an_envelope(an_event("last")), "audit")
    assert await names_until_last(audit) == []


async def test_retry_outlives_its_worker(another_broker: OpenBroker) -> None:
    """A retry waits in the broker: another worker gets it when it is due."""
    first = another_broker()
    await first.declare([Queue("default")])
    await first.publisher().publish(an_event())
    delivery = await take(await consuming(first, "default"))
    tried, due = _tried(delivery.envelope), soon()
    await delivery.retry(tried, SOON)
    await first.close()

    again = await take(await consuming(another_broker(), "default"))

    assert again.envelope == tried
    assert now() >= due


async def test_retry_is_not_due_by_another_settlement(broker: Broker) -> None:
    """While an event waits for its retry, another one can use its place in the prefetch."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("first"))
    consumer = await consuming(broker, "default", prefetch=1)
    delivery = await take(consumer)

    await delivery.retry(_tried(delivery.envelope), SOON)
    await publisher.publish(an_event("second"))

    second = await take(consumer)
    assert second.envelope.event.name == "second"
    await second.ack()
    assert (await take(consumer)).envelope.event.name == "first"


async def test_dead_letter_is_kept_whole(broker: Broker) -> None:
    """A dead letter is in the ledger with its envelope, errors and transcript, and no longer in its queue."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event(data=b"\xff\0" * 1000, content_type="application/x-odd"))
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)
    letter = Letter(
        time=now(),
        queue="default",
        reason="attempts used up",
        envelope=_tried(delivery.envelope),
        error=Error("app.Trouble", "the last one", "Traceback …\nthe last one"),
        transcript=Transcript(
            parameters={"REQUEST_METHOD": "POST", "HTTP_CE_ID": delivery.envelope.event.id},
            status=500,
            headers={"bridge-outcome": "failed"},
            body="ünreadable",
            error_output="boom\n",
        ),
    )

    await delivery.dead_letter(letter)

    (entry,) = await entries_of(broker)
    assert isinstance(entry, Dead)
    assert await broker.ledger().letter(entry.number) == letter
    await publisher.publish(an_event("last"))
    assert await names_until_last(consumer) == []


async def test_entry_of_a_dead_letter(broker: Broker) -> None:
    """The entry has the fields that lists, filters and counts need."""
    await broker.declare([Queue("default")])
    await broker.publisher().publish(an_event("account.created"))
    delivery = await take(await consuming(broker, "default"))
    letter = replace(a_letter(delivery), envelope=_tried(delivery.envelope))

    await delivery.dead_letter(letter)

    (entry,) = await entries_of(broker)
    assert entry == Dead(
        number=entry.number,
        time=letter.time,
        queue="default",
        reason="rejected",
        event_id=delivery.envelope.event.id,
        event_name="account.created",
        error_type="ValueError",
        error_message="no such account",
        attempts=1,
        release="v1.2.3",
    )


@pytest.mark.parametrize(
    "head",
    [
        '{"v":99,"id":"0190-future","type":"account.created"}',
        "not JSON at all",
        '{"v":1,"id":17}',
        "[1, 2]",
    ],
    ids=["later version", "not JSON", "damaged", "no object"],
)
async def test_unreadable(site: Site, broker: Broker, head: str) -> None:
    """A message that this program cannot read becomes a dead letter with its bytes unchanged; the next one is taken."""
    await broker.declare([Queue("default")])
    await site.put_raw("default", "account.created", head, b"\0\xff")
    consumer = await consuming(broker, "default", prefetch=1)
    await broker.publisher().publish(an_event("last"))

    assert await names_until_last(consumer) == []

    (entry,) = await eventually(lambda: entries_of(broker), bool)
    assert isinstance(entry, Dead)
    assert (entry.reason, entry.queue, entry.event_name) == ("unreadable", "default", "account.created")
    letter = await broker.ledger().letter(entry.number)
    assert letter is not None
    assert (letter.unread, letter.envelope.event.data) == (head, b"\0\xff")


async def test_unreadable_can_be_revived_by_who_can_read_it(site: Site, broker: Broker) -> None:
    """A program that knows the version of an unreadable message can redrive it unchanged."""
    await broker.declare([Queue("default")])
    event = an_event(data=b"\0\xff")
    head = encode_head(an_envelope(event)).replace('"v":1', '"v":99')
    await site.put_raw("default", event.name, head, event.data)
    await consuming(broker, "default")
    (entry,) = await eventually(lambda: entries_of(broker), bool)

    letter = await broker.ledger().letter(entry.number)

    assert letter is not None
    assert letter.unread is not None
    readable = replace(letter, unread=letter.unread.replace('"v":99', '"v":1'))
    assert readable.revived(now()).event == event


async def test_name_that_is_none(broker: Broker) -> None:
    """A message with an invalid event name becomes a dead letter, and is not handed out."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    event = an_event("no name!")
    await publisher.put(an_envelope(event), "default")
    await publisher.publish(an_event("last"))

    assert await names_until_last(await consuming(broker, "default")) == []

    (entry,) = await eventually(lambda: entries_of(broker), bool)
    assert isinstance(entry, Dead)
    assert (entry.reason, entry.event_id, entry.event_name) == ("not an event", event.id, "no name!")


async def test_settled_after_its_consumer_was_closed(broker: Broker) -> None:
    """A delivery of a closed consumer cannot be settled; the event is delivered again."""
    await broker.declare([Queue("default")])
    await broker.publisher().publish(an_event())
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)
    await consumer.close()

    with pytest.raises(DeliveryLost):
        await delivery.ack()

    assert (await take(await consuming(broker, "default"))).token == delivery.token
