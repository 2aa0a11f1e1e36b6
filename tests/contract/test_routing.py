"""Routing of events to queues."""

import asyncio

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.errors import Unroutable
from bridge.queues import Queue
from tests.contract.acts import an_envelope, an_event, consuming, names_until_last, take
from tests.contract.conftest import OpenBroker, Site


async def _names_in(broker: Broker, queue: str, *published: str) -> list[str]:
    """Return the names of the published events that reach the queue."""
    publisher = broker.publisher()
    for name in published:
        await publisher.publish(an_event(name))
    await publisher.put(an_envelope(an_event("last")), queue)
    return await names_until_last(await consuming(broker, queue))


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ("a", ["a"]),
        ("a.*", ["a.b", "a.c"]),
        ("a.#", ["a", "a.b", "a.c", "a.b.c"]),
        ("#", ["a", "a.b", "a.c", "a.b.c", "b", "b.a"]),
        ("#.a", ["a", "b.a"]),
        ("*.b.#", ["a.b", "a.b.c"]),
    ],
)
async def test_pattern(broker: Broker, pattern: str, taken: list[str]) -> None:
    """A queue takes events that its pattern matches, and no others."""
    await broker.declare([Queue("some", (pattern,)), Queue("default")])

    assert await _names_in(broker, "some", "a", "a.b", "a.c", "a.b.c", "b", "b.a") == taken


async def test_two_queues_take_one(broker: Broker) -> None:
    """An event goes to every queue that takes it, each with its own copy."""
    await broker.declare([Queue("mail", ("account.*",)), Queue("audit", ("#",)), Queue("default")])
    event = an_event("account.created")

    await broker.publisher().publish(event)

    for queue in ("mail", "audit"):
        delivery = await take(await consuming(broker, queue))
        assert (delivery.queue, delivery.envelope.event) == (queue, event)
        await delivery.ack()


async def test_two_patterns_one_copy(broker: Broker) -> None:
    """A queue with several matching patterns gets the event once."""
    await broker.declare([Queue("mail", ("account.*", "account.#", "#"))])

    assert await _names_in(broker, "mail", "account.created") == ["account.created"]


async def test_catch_all_takes_the_rest(broker: Broker) -> None:
    """The catch-all gets only events that no other queue takes: a queue for mail does not duplicate mail."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("default")])

    assert await _names_in(broker, "default", "mail.sent", "account.created", "mail") == ["account.created"]


async def test_catch_all_with_a_pattern(broker: Broker) -> None:
    """The catch-all takes events of its own patterns once, even if another queue takes them as well."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("default", ("mail.sent",))])

    assert await _names_in(broker, "default", "mail.sent", "mail.read", "other") == ["mail.sent", "other"]


async def test_unroutable(broker: Broker) -> None:
    """An event that no queue takes is refused with its name and a remedy."""
    await broker.declare([Queue("mail", ("mail.#",))])

    with pytest.raises(Unroutable, match=r"account\.created.*\[queues\.default\]"):
        await broker.publisher().publish(an_event("account.created"))


async def test_unroutable_leaves_its_neighbours_alone(broker: Broker) -> None:
    """The same publisher continues after a refused event."""
    await broker.declare([Queue("mail", ("mail.#",))])
    publisher = broker.publisher()
    with pytest.raises(Unroutable):
        await publisher.publish(an_event("account.created"))

    await publisher.publish(an_event("mail.sent"))

    assert (await take(await consuming(broker, "mail"))).envelope.event.name == "mail.sent"


async def test_put_into_no_queue(broker: Broker) -> None:
    """Putting an envelope into a queue that does not exist is refused."""
    await broker.declare([Queue("mail", ("mail.#",))])

    with pytest.raises(Unroutable, match="absent"):
        await broker.publisher().put(an_envelope(), "absent")


async def test_publisher_declares_first(another_broker: OpenBroker) -> None:
    """If the web process starts first, the worker gets the events that were published before."""
    web, worker = another_broker(), another_broker()
    await web.declare([Queue("mail", ("mail.#",))])
    await web.publisher().publish(an_event("mail.sent"))

    await worker.declare([Queue("mail", ("mail.#",))])

    assert (await take(await consuming(worker, "mail"))).envelope.event.name == "mail.sent"


async def test_consumer_declares_first(another_broker: OpenBroker) -> None:
    """If the worker starts first, it gets the events that the web process publishes later."""
    web, worker = another_broker(), another_broker()
    await worker.declare([Queue("mail", ("mail.#",))])
    consumer = await consuming(worker, "mail")

    await web.declare([Queue("mail", ("mail.#",))])
    await web.publisher().publish(an_event("mail.sent"))

    assert (await take(consumer)).envelope.event.name == "mail.sent"


async def test_declared_by_both_at_once(another_broker: OpenBroker) -> None:
    """Two processes may declare the same queues at the same time, and again."""
    queues = [Queue("mail", ("mail.#",)), Queue("default")]
    brokers = [another_broker() for _ in range(4)]

    await asyncio.gather(*(broker.declare(queues) for broker in brokers * 2))

    assert await _names_in(brokers[0], "mail", "mail.sent") == ["mail.sent"]


async def test_later_queue_joins(broker: Broker) -> None:
    """A queue that is declared later takes events that are published from then on; other queues do not change."""
    await broker.declare([Queue("default")])
    await broker.declare([Queue("mail", ("mail.#",))])

    assert await _names_in(broker, "mail", "mail.sent", "other") == ["mail.sent"]
    assert await _names_in(broker, "default", "another") == ["other", "another"]


async def test_namespaces_do_not_mix(site: Site, another_broker: OpenBroker) -> None:
    """Two namespaces on one broker are separate, even if their names differ only in a capital letter."""
    first, second = another_broker(site.namespace), another_broker(site.namespace.capitalize())
    await first.declare([Queue("default")])
    await second.declare([Queue("default")])

    await first.publisher().publish(an_event("first"))

    assert await _names_in(second, "default", "second") == ["second"]
    assert await _names_in(first, "default") == ["first"]


async def test_pattern_added_later(broker: Broker) -> None:
    """A queue that is declared again takes events of its new patterns as well."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("default")])
    await broker.declare([Queue("mail", ("mail.#", "letter.#"))])

    assert await _names_in(broker, "mail", "mail.sent", "letter.sent", "other") == ["mail.sent", "letter.sent"]
