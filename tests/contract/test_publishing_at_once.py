"""Publishing without waiting: written before the call returns, answered by a callback."""

import asyncio
from datetime import timedelta

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.publishing import Publisher
from bridge.deadline import Deadline
from bridge.errors import BrokerUnavailable, DeferUnconfirmed, Unroutable
from bridge.event import Event
from bridge.queues import Queue
from tests.contract.acts import an_event, consuming, names_until_last, now, take
from tests.deadlines import within
from tests.limits import PATIENCE


def posted(publisher: Publisher, event: Event, deadline: Deadline) -> "asyncio.Future[Exception | None]":
    """Publish an event without waiting; return the future of its answer."""
    answer: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    post = publisher.at_once(event, deadline=deadline)
    assert post is not None
    post(answer.set_result)
    return answer


async def test_many_events_are_confirmed_and_arrive_in_order(broker: Broker) -> None:
    """Each of them is answered once."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("order.paid", b"first"))

    answers = [
        posted(publisher, an_event("order.paid", str(number).encode()), within(PATIENCE)) for number in range(500)
    ]

    assert await asyncio.gather(*answers) == [None] * 500
    consumer = await consuming(broker, "default", prefetch=501)
    bodies = [(await take(consumer)).envelope.event.data for _ in range(501)]
    assert bodies == [b"first", *(str(number).encode() for number in range(500))]


async def test_an_event_with_a_due_time_is_not_delivered_before_it(broker: Broker) -> None:
    """It is answered when it is stored."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("warm.up"), now() + timedelta(seconds=2))
    due = now() + timedelta(seconds=2)
    answer: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    post = publisher.at_once(an_event("order.paid"), due, deadline=within(PATIENCE))
    if post is None:  # RabbitMQ permits each destination separately
        await publisher.publish(an_event("order.paid"), due)
        post = publisher.at_once(an_event("order.paid"), due, deadline=within(PATIENCE))
    assert post is not None
    post(answer.set_result)

    assert await answer is None
    consumer = await consuming(broker, "default")
    assert {(await take(consumer)).envelope.event.name for _ in range(2)} == {"warm.up", "order.paid"}
    assert now() >= due


async def test_an_unroutable_event_is_answered_with_the_error(broker: Broker) -> None:
    """The error is that of `publish`."""
    await broker.declare([Queue("orders", patterns=("order.#",))])
    publisher = broker.publisher()
    await publisher.publish(an_event("order.paid"))
    try:
        await publisher.publish(an_event("nobody.asks"))
    except Unroutable as error:
        expected = str(error)

    answer = await posted(publisher, an_event("nobody.asks"), within(PATIENCE))

    assert isinstance(answer, Unroutable)
    assert str(answer) == expected


async def test_the_answer_of_an_event_with_little_time_is_true(broker: Broker) -> None:
    """After `BrokerUnavailable` nothing was published, after None the event was, and only `DeferUnconfirmed` leaves it
    open."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    fates: dict[str, str] = {}
    answers: dict[str, asyncio.Future[Exception | None]] = {}
    for number in range(200):
        event = an_event(f"event.{number}")
        await publisher.publish(an_event(event.name))  # RabbitMQ permits each name separately
        deadline = within(number * 0.0001)
        post = publisher.at_once(event, deadline=deadline)
        if post is None:
            fates[event.id] = "nothing"
        else:
            answers[event.id] = asyncio.get_running_loop().create_future()
            post(answers[event.id].set_result)

    for identity, answer in answers.items():
        match await answer:
            case None:
                fates[identity] = "published"
            case BrokerUnavailable():
                fates[identity] = "nothing"
            case DeferUnconfirmed(event_id=event_id):
                assert event_id == identity
                fates[identity] = "open"

    await publisher.publish(an_event("last"))
    consumer = await consuming(broker, "default", prefetch=500)
    arrived: list[str] = []
    while (event := (await take(consumer)).envelope.event).name != "last":
        arrived.append(event.id)
    assert len(arrived) == len(set(arrived))
    assert {identity for identity, fate in fates.items() if fate == "published"} <= set(arrived)
    assert not {identity for identity, fate in fates.items() if fate == "nothing"} & set(arrived)
    assert len(fates) == 200


async def test_a_closed_publisher_publishes_nothing_without_waiting(broker: Broker) -> None:
    """Nothing arrives."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("order.paid"))
    await publisher.close()

    assert publisher.at_once(an_event("order.paid"), deadline=within(PATIENCE)) is None

    await broker.publisher().publish(an_event("last"))
    assert await names_until_last(await consuming(broker, "default")) == ["order.paid"]
