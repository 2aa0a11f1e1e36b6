"""An operator counts and purges queues without a consumer, and decides in the log of controls."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask

from app_adapter import fork_safe_publishing
from app_adapter.cancel import Cancelling
from app_adapter.fork_safe_publishing import PublishingThreads, cancel
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Consumer
from bridge.brokers.contract.operating import QueueCounts, SiteCounts
from bridge.cancellations import Cancellation
from bridge.config.settings import load_settings
from bridge.controls import Resume
from bridge.errors import BrokerRefused, DeferUnavailable
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.moments import tell_nobody
from bridge.queues import Queue
from bridge.site_logs import CONTROLS, SITE_LOGS
from tests.contract.acts import (
    an_event,
    consuming,
    eventually,
    now,
    publish_some,
    soon,
    take,
    take_and_ack,
)
from tests.contract.conftest import OpenBroker, Site
from worker.control.controls_log import ControlsLog, new_pause

KEYS = LedgerKeys(("the-key-of-this-site",))
QUEUES = (Queue("mail", ("mail.#",)), Queue("default"))


def ready(counts: QueueCounts) -> int:
    """Return the number of ready events, of any priority."""
    return sum(counts.ready.values())


@pytest.fixture
async def declared(broker: Broker, site: Site) -> AsyncIterator[Broker]:
    """A broker with two queues, and empty logs of controls. Tests of RabbitMQ share a namespace one after the other."""
    await broker.declare(QUEUES)
    yield broker
    for log in SITE_LOGS:
        await site.drop_log(log.name)


async def counted(broker: Broker, mail: int, *, waiting: int = 0) -> SiteCounts:
    """Return the counts as soon as the queue mail has this many ready events, and this many wait."""
    return await eventually(
        lambda: broker.operator().counts(["mail", "default", "none"]),
        lambda found: (ready(found.queues["mail"]), found.waiting) == (mail, waiting),
    )


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishingThreads]:
    """Publishing threads of the test's own, which do not go on after it."""
    threads = PublishingThreads()
    monkeypatch.setattr(fork_safe_publishing, "_threads_of_this_process", threads)
    yield threads
    threads.close()


async def test_counts_without_a_consumer(declared: Broker, another_broker: OpenBroker) -> None:
    """Ready events by queue, the events that wait, and consumers; a queue that does not exist is left out."""
    await publish_some(declared, 3, "mail.sent")
    await declared.publisher().publish(an_event("mail.later"), now() + timedelta(hours=1))

    counts = await counted(another_broker(), 3, waiting=1)

    assert counts.queues.keys() == {"mail", "default"}
    assert (ready(counts.queues["default"]), counts.queues["mail"].consumers) == (0, 0)

    await consuming(declared, "mail", prefetch=2)

    assert ((await counted(another_broker(), 1, waiting=1)).queues["mail"].consumers or 0) >= 1


async def test_a_consumer_knows_what_it_holds(declared: Broker) -> None:
    """It counts deliveries that were handed out, and those that were not, until they are settled."""
    consumer = await consuming(declared, "mail", "default", prefetch=2)
    await publish_some(declared, 3, "mail.sent")
    first = await take(consumer)
    await counted(declared, 1)
    await eventually(lambda: held_by(consumer), lambda found: found == 2)

    await take(consumer)
    assert await held_by(consumer) == 2
    await first.ack()
    await counted(declared, 0)
    await eventually(lambda: held_by(consumer), lambda found: found == 2)
    await (await take(consumer)).ack()
    await eventually(lambda: held_by(consumer), lambda found: found == 1)


async def held_by(consumer: Consumer) -> int:
    """Return how many events of mail the consumer holds."""
    return consumer.held.get("mail", 0)


async def test_a_purge_deletes_what_is_ready_and_nothing_else(declared: Broker, another_broker: OpenBroker) -> None:
    """Events in hand, events that are not due, and events of other queues stay."""
    operator = another_broker().operator()
    consumer = await consuming(declared, "mail", prefetch=1)
    await publish_some(declared, 4, "mail.sent")
    await publish_some(declared, 1, "other")
    held = await take(consumer)
    await declared.publisher().publish(an_event("mail.later"), soon())
    await counted(another_broker(), 3, waiting=1)

    assert await operator.purge("mail") == 3

    await held.ack()
    (later,) = await take_and_ack(consumer, 1)
    assert later.envelope.event.name == "mail.later"
    assert ready((await counted(another_broker(), 0)).queues["default"]) == 1
    assert await operator.purge("mail") == 0


async def test_a_purge_of_no_queue(declared: Broker) -> None:
    """The error names the queue."""
    with pytest.raises(BrokerRefused, match="none"):
        await declared.operator().purge("none")


async def test_controls_are_known_to_whoever_reads_them_later(declared: Broker, another_broker: OpenBroker) -> None:
    """Pauses, their ends, and cancellations, with who and why; a second read takes only what is new."""
    ours, theirs = (ControlsLog(broker, "shop", NO_KEYS) for broker in (declared, another_broker()))
    mail = new_pause(queue="mail", who="ana", why="provider down")
    orders = new_pause(events="order.#", until=now() + timedelta(hours=1), who="ben", why="wrong prices")
    event = an_event()
    await theirs.read()
    for pause in (mail, orders):
        await ours.decide(pause)
    await ours.cancel(Cancellation(event.id, True, "ana", "withdrawn", now()))

    await theirs.read()

    assert theirs.controls.pauses(now()) == (mail, orders)
    assert (theirs.cancellations.knows(event.id), set(theirs.newly_interrupted())) == (True, {event.id})
    await ours.decide(Resume((mail.id,), "ana", "", now()))
    await theirs.read()
    assert (theirs.controls.pauses(now()), theirs.controls.skipped) == ((orders,), 0)


async def test_an_app_cancels_an_event(declared: Broker, site: Site) -> None:
    """The cancellation is in the log when the call returns, also of several threads at a time."""
    settings = load_settings(environ={"BRIDGE_BROKER_URL": site.url, "BRIDGE_NAMESPACE": site.namespace})
    wished = [Cancellation(an_event().id, False, "the app shop", "withdrawn", now()) for _ in range(3)]

    await asyncio.gather(*(asyncio.to_thread(cancel, settings, each) for each in wished))

    log = ControlsLog(declared, "shop", NO_KEYS)
    await log.read()
    assert [each.event for each in wished if not log.cancellations.knows(each.event)] == []


async def test_a_cancellation_that_the_broker_does_not_take() -> None:
    """The error says that the event is not cancelled, within `publish_timeout`."""
    settings = load_settings(environ={"BRIDGE_BROKER_URL": "amqp://127.0.0.1:1/", "BRIDGE_PUBLISH_TIMEOUT": "5s"})
    wished = Cancellation(an_event().id, False, "the app shop", "", now())

    with pytest.raises(DeferUnavailable, match=f"event {wished.event} is not cancelled"):
        await asyncio.to_thread(cancel, settings, wished)


async def test_foreign_records_among_the_controls(declared: Broker, site: Site) -> None:
    """They are skipped, and those that are records are counted; a key asks for signatures."""
    log = ControlsLog(declared, "shop", NO_KEYS)
    pause = new_pause(queue="mail", who="ana", why="provider down")
    await log.decide(pause)
    for data in (b"\xff", b"[]", b'{"kind": "pause"}', b"{}"):
        await site.append_raw(CONTROLS.name, data)
    await log.decide(replace(pause, id="another"))

    await log.read()

    assert (len(log.controls.pauses(now())), log.controls.skipped) == (2, 2)
    keyed = ControlsLog(declared, "shop", KEYS)
    await keyed.read()
    assert (keyed.controls.pauses(now()), keyed.controls.skipped) == ((), 4)


async def test_with_a_key_only_signed_cancellations_count(declared: Broker, site: Site) -> None:
    """Those of operators and of apps that have the key. The others are skipped and counted."""
    for name, keys in (("of an operator", KEYS), ("unsigned", NO_KEYS), ("of another key", LedgerKeys(("o" * 16,)))):
        await ControlsLog(declared, site.namespace, keys).cancel(Cancellation(name, False, "ana", "", now()))
    environ = {"BRIDGE_BROKER_URL": site.url, "BRIDGE_NAMESPACE": site.namespace, "BRIDGE_PUBLISH_TIMEOUT": "30s"}
    for event, given in (("of-an-app", {"BRIDGE_LEDGER_KEY": KEYS.keys[0]}), ("unsigned-of-an-app", {})):
        app = Cancelling(Flask("shop"), load_settings(environ={**environ, **given}), tell_nobody, lambda: None)
        await asyncio.to_thread(app.cancel, event, why="", running=False)

    workers = ControlsLog(declared, site.namespace, KEYS)
    await workers.read()

    assert [workers.cancellations.knows(event) for event in ("of an operator", "of-an-app")] == [True, True]
    assert (len(workers.cancellations), workers.cancellations.skipped) == (2, 3)


async def test_a_queue_with_a_prefetch_of_0(declared: Broker) -> None:
    """It is live, no event of it is taken, and those that were not handed out return to it."""
    consumer = await consuming(declared, "mail", "default", prefetch=2)
    await publish_some(declared, 3, "mail.sent")
    first = await take(consumer)
    await counted(declared, 1)

    await consumer.adjust({"mail": 0, "default": 2})

    await counted(declared, 2)
    assert set(consumer.live) == {"mail", "default"}
    await first.ack()
    await publish_some(declared, 1, "other")
    assert [each.queue for each in await take_and_ack(consumer, 1)] == ["default"]
    await consumer.adjust({"mail": 2, "default": 2})
    assert len(await take_and_ack(consumer, 2)) == 2


async def test_an_ordered_queue_with_a_prefetch_of_0(another_broker: OpenBroker) -> None:
    """An event that was given back is handed out again when the prefetch is 1, before the event behind it."""
    broker = another_broker()
    await broker.declare([Queue("in-order", ("mail.#",), ordered=True)])
    consumer = await consuming(broker, "in-order", prefetch=1)
    for name in ("mail.first", "mail.second"):
        await broker.publisher().publish(an_event(name))
    first = await take(consumer)

    await consumer.adjust({"in-order": 0})
    await first.give_back()
    waiting = asyncio.create_task(take(consumer))
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done
    await consumer.adjust({"in-order": 1})

    again = await waiting
    assert again.envelope.event.name == "mail.first"
    await again.ack()
    assert (await take(consumer)).envelope.event.name == "mail.second"
