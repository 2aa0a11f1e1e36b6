"""`bridge-move`: events arrive as they were, in their order, at their time, and once."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.envelope import Envelope
from bridge.handling import Handling, Priority
from bridge.retry_table import RetryTable
from tests.contract.acts import an_event, consuming, eventually, now, soon, take, take_and_ack
from tests.contract.moving import A_WHILE, Moving, envelopes, failed, nothing_left
from worker.moving.tally import Kind


async def test_an_event_arrives_as_it_was(moving: Moving) -> None:
    """With its id, data, trace, priority, expiry, key and retry policy, in the queue that had it, and once."""
    handling = Handling(Priority.HIGH, soon(timedelta(hours=1)), "key 17", RetryTable(attempts=2))
    sent = await moving.publish("mail.sent", "other.thing", handling=handling)

    report = await moving.run()

    consumer = await consuming(moving.new, "default", "mail")
    deliveries = await take_and_ack(consumer, 2)
    assert {delivery.queue: delivery.envelope for delivery in deliveries} == {"mail": sent[0], "default": sent[1]}
    assert report.moved == {Kind.DUE: 2}
    assert report.complete
    await nothing_left(moving.new, "default", "mail")


async def test_an_event_of_several_queues_is_moved_for_those_that_have_it(moving: Moving) -> None:
    """The queue that has run it already does not run it again."""
    await moving.old.declare([replace(moving.settings.queues()[0], name="audit", patterns=("mail.#",))])
    await moving.publish("mail.sent")
    await take_and_ack(await consuming(moving.old, "audit"), 1)

    report = await moving.run()

    assert report.moved == {Kind.DUE: 1}
    await take_and_ack(await consuming(moving.new, "mail"), 1)


async def test_a_delayed_event_keeps_its_time(moving: Moving) -> None:
    """It runs at that time and not before, and one of next year waits."""
    due = soon(A_WHILE)
    event, far = an_event("mail.sent"), an_event("mail.sent")
    await moving.old.publisher().publish(event, due)
    await moving.old.publisher().publish(far, soon(timedelta(days=400)))

    report = await moving.run()

    delivery = await take(await consuming(moving.new, "mail"))
    assert now() >= due - timedelta(seconds=1)  # RabbitMQ keeps it to the second
    assert delivery.envelope == Envelope(event, round_began=due)
    assert report.moved == {Kind.DELAYED: 2}
    assert (await moving.new.operator().counts(["mail"])).waiting == 1
    await delivery.ack()


async def test_a_retry_keeps_its_history_and_its_time(moving: Moving) -> None:
    """The next attempt has the number that it would have had."""
    await moving.publish("mail.sent")
    delivery = await take(await consuming(moving.old, "mail"))
    tried = failed(delivery.envelope)
    due = soon(A_WHILE)
    await delivery.retry(tried, A_WHILE)

    report = await moving.run()

    delivery = await take(await consuming(moving.new, "mail"))
    assert now() >= due - timedelta(seconds=1)
    assert delivery.envelope == tried
    assert delivery.envelope.attempt_number == 2
    assert report.moved == {Kind.RETRYING: 1}
    await delivery.ack()


async def test_an_ordered_queue_keeps_its_order(moving: Moving) -> None:
    """Also if its first event waits for its retry: the events after it are moved after it."""
    sent = await moving.publish(*(f"order.n{number}" for number in range(6)))
    delivery = await take(await consuming(moving.old, "orders"))
    tried = failed(delivery.envelope)
    await delivery.retry(tried, A_WHILE)
    begun = now()

    report = await moving.run()

    assert now() - begun >= A_WHILE - timedelta(seconds=0.1)
    assert await envelopes(await consuming(moving.new, "orders"), 6) == [tried, *sent[1:]]
    assert report.complete


async def test_the_rest_does_not_wait_for_an_ordered_queue(moving: Moving) -> None:
    """Other queues are moved while the head of an ordered one waits for its retry; a stop leaves that one whole."""
    await moving.publish("order.one", "order.two", "mail.sent")
    delivery = await take(await consuming(moving.old, "orders"))
    await delivery.retry(delivery.envelope, timedelta(hours=1))
    await moving.old.close()

    run = asyncio.create_task(moving.move())
    await take_and_ack(await consuming(moving.new, "mail"), 1)
    moving.stop.set()
    report = await run

    assert report.moved == {Kind.DUE: 1}
    assert report.left[Kind.DUE] == 2
    assert not report.complete


async def test_priorities_are_kept(moving: Moving) -> None:
    """Each event is in the lane of its priority on the new broker too."""
    for name, priority in (("mail.low", Priority.LOW), ("mail.high", Priority.HIGH)):
        await moving.publish(*[name] * 3, handling=Handling(priority))

    await moving.run()

    async def ready() -> Mapping[Priority, int]:
        return (await moving.new.operator().counts(["mail"])).queues["mail"].ready

    await eventually(ready, lambda counts: counts == {Priority.HIGH: 3, Priority.NORMAL: 0, Priority.LOW: 3})


async def test_the_move_waits_for_the_consumers_of_the_old_file(
    moving: Moving, caplog: pytest.LogCaptureFixture
) -> None:
    """An event in hand there is settled there; the others are moved when the consumer has ended."""
    caplog.set_level("INFO", "bridge")
    await moving.publish("mail.one", "mail.two")
    consumer = await consuming(moving.old, "mail", prefetch=1)
    delivery = await take(consumer)

    run = asyncio.create_task(moving.move())
    while "consumers still take events from the old file" not in caplog.text:  # it is logged by the task
        assert not run.done()
        await asyncio.sleep(0.02)
    await delivery.ack()
    await consumer.close()
    report = await run

    assert report.moved == {Kind.DUE: 1}
    assert report.left[Kind.DUE] == 0
    assert [each.event.name for each in await envelopes(await consuming(moving.new, "mail"), 1)] == ["mail.two"]
