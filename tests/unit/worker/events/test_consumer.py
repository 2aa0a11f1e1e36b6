"""The event consumer when deliveries are lost, repeated or not confirmed, and when the worker stops."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from tenacity import Retrying, stop_after_attempt, wait_fixed

from bridge.attempt import Error
from bridge.envelope import Envelope
from bridge.errors import BrokerUnavailable, DeliveryLost
from bridge.ledger import Letter
from bridge.moments import Begun, BrokerBack, BrokerLost, Moment, Settled, Taken, Tell, tell_nobody
from bridge.outcome import Exchange, Failed
from bridge.request import ReplayTarget
from bridge.retry_policy import from_object
from bridge.settlement import Policies, RetryAfter
from bridge.watchers.notify import Watchers
from tests.limits import PATIENCE
from tests.unit.bridge.examples import envelope, event
from tests.unit.worker.doubles import DELIVERED, FAILED, REJECTED, FakeBroker, FakeDelivery, FakeSlot
from worker.events.consumer import EventConsumer
from worker.events.replay import Replayer, Rules
from worker.slots.slot import NotTaken
from worker.slots.slots import Slots


@dataclass
class Bench:
    """An event consumer with one slot, running."""

    broker: FakeBroker
    slot: FakeSlot
    events: EventConsumer
    moments: list[Moment]
    taking: asyncio.Task[str]

    @property
    def settled(self) -> list[Settled]:
        """The settlements that watchers were told of."""
        return [moment for moment in self.moments if isinstance(moment, Settled)]

    async def take(self, delivery: FakeDelivery) -> None:
        """Hand out a delivery, and wait until the consumer has taken it."""
        taken = self.events.taken
        self.broker.deliveries.put_nowait(delivery)
        await until(lambda: self.events.taken > taken)

    async def done(self, count: int) -> None:
        """Wait until `count` events are settled."""
        await until(lambda: len(self.settled) >= count)


async def until(condition: object) -> None:
    """Let other tasks run until the condition holds."""
    assert callable(condition)
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Run a consumer with one slot. A round has three attempts, one second apart."""
    policy = from_object(Retrying(stop=stop_after_attempt(3), wait=wait_fixed(1)))
    moments: list[Moment] = []
    replayer = Replayer({"default": Rules(30.0, Policies(policy, policy))}, ReplayTarget(), moments.append)
    broker, slot, slots = FakeBroker(), FakeSlot(), Slots(1)
    events = EventConsumer(broker, slots, replayer, tell=moments.append)
    slots.open(slot)
    taking = asyncio.create_task(events.run())
    yield Bench(broker, slot, events, moments, taking)
    taking.cancel()
    await asyncio.wait((taking,))
    await events.drain(0)


async def test_an_event_is_acked_after_its_reply_and_not_before(bench: Bench) -> None:
    """Before the reply, the effect may not have happened."""
    delivery = FakeDelivery()
    await bench.take(delivery)
    assert delivery.verbs == []
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert delivery.verbs == ["ack"]


async def test_an_event_with_more_data_than_the_app_defers_is_not_replayed() -> None:
    """A foreign publisher's event beyond `max_body` is a dead letter that says so. One at the limit runs."""
    policy = from_object(Retrying(stop=stop_after_attempt(3), wait=wait_fixed(1)))
    rules = {"default": Rules(30.0, Policies(policy, policy))}
    replayer = Replayer(rules, ReplayTarget(), tell_nobody, max_body=4)
    broker, slot, slots = FakeBroker(), FakeSlot(), Slots(1)
    slots.open(slot)
    events = EventConsumer(broker, slots, replayer)
    taking = asyncio.create_task(events.run())
    large, fitting = (
        FakeDelivery(str(data), envelope=envelope(event=event(data=data))) for data in (b"12345", b"1234")
    )

    broker.deliveries.put_nowait(large)
    broker.deliveries.put_nowait(fitting)
    await slot.answer(DELIVERED)
    await until(lambda: events.finished == 2)

    (letter,) = large.verbs
    assert fitting.verbs == ["ack"]
    assert isinstance(letter, Letter)
    assert letter.error == Error("unsendable", "the data is 5 bytes: expected at most 4 (max_body)")
    taking.cancel()
    await asyncio.wait((taking,))
    await events.drain(0)


async def test_a_redelivery_of_a_running_event_joins_its_run(bench: Bench) -> None:
    """The run continues, and settles the newest delivery."""
    first = FakeDelivery(faults=[DeliveryLost("gone")])
    await bench.take(first)
    again = FakeDelivery(redelivered=True)
    bench.broker.deliveries.put_nowait(again)
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert (again.verbs, bench.events.taken) == (["ack"], 1)


async def test_a_redelivery_on_the_same_connection_is_acked_together_with_the_first_delivery(bench: Bench) -> None:
    """A cluster's node that lost sight of us for a moment redelivers on the same connection. An unacked delivery would
    count as held until the connection closes."""
    first, again = FakeDelivery(), FakeDelivery(redelivered=True)
    await bench.take(first)
    bench.broker.deliveries.put_nowait(again)
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert (first.verbs, again.verbs) == (["ack"], ["ack"])


async def test_a_run_whose_delivery_was_lost_waits_for_the_redelivery(bench: Bench) -> None:
    """Meanwhile the event does not count as running, and its slot is free."""
    first = FakeDelivery(faults=[DeliveryLost("gone")])
    await bench.take(first)
    await bench.slot.answer(FAILED)
    await until(lambda: bench.events.running == 0)
    again = FakeDelivery(redelivered=True)
    bench.broker.deliveries.put_nowait(again)
    await bench.done(1)
    ((envelope, _wait),) = again.verbs
    assert envelope.spent == 1


async def test_a_redelivery_of_an_event_that_was_settled_here_is_acked_and_not_run(bench: Bench) -> None:
    """The first ack was lost with its connection."""
    await bench.take(FakeDelivery())
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    again = FakeDelivery(redelivered=True)
    bench.broker.deliveries.put_nowait(again)
    await until(lambda: again.verbs)
    assert (again.verbs, bench.events.taken) == (["ack"], 1)


class Confirming(FakeDelivery):
    """A delivery whose retry is confirmed when a test sets `confirmed`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.confirmed = asyncio.Event(), asyncio.Event()

    async def retry(self, envelope: Envelope, wait: timedelta) -> None:
        self.asked.set()
        await self.confirmed.wait()
        await super().retry(envelope, wait)


async def test_a_redelivery_that_comes_while_the_retry_is_confirmed_is_acked_too(bench: Bench) -> None:
    """Otherwise the redelivery would never be settled, and would take a place of the prefetch."""
    first, again = Confirming(), FakeDelivery(redelivered=True)
    await bench.take(first)
    await bench.slot.answer(FAILED)
    await first.asked.wait()
    bench.broker.deliveries.put_nowait(again)
    await until(bench.broker.deliveries.empty)
    first.confirmed.set()
    await bench.done(1)
    assert (len(first.verbs), again.verbs, bench.events.taken) == (1, ["ack"], 1)


async def test_a_slow_settlement_is_logged_and_done_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """RabbitMQ may be out of memory: no event begins, the log has the reason, and the retry is published once."""
    monkeypatch.setattr("worker.events.in_flight.UNCONFIRMED_AFTER", 0.01)
    bench.broker.trouble = "RabbitMQ is out of memory"
    first, other = Confirming(), FakeDelivery("m2")
    await bench.take(first)
    await bench.slot.answer(FAILED)
    await until(lambda: "does not confirm" in caplog.text)
    assert caplog.records[-1].__dict__["why"] == "RabbitMQ is out of memory"
    bench.broker.deliveries.put_nowait(other)
    await until(bench.broker.deliveries.empty)
    assert bench.slot.asked.empty()

    first.confirmed.set()
    await bench.slot.answer(DELIVERED)
    await bench.done(2)
    assert (len(first.verbs), other.verbs) == (1, ["ack"])


async def test_an_event_whose_delivery_is_lost_for_long_does_not_count_as_settled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker has not confirmed the retry. If the event is redelivered here after all, it runs again."""
    monkeypatch.setattr("worker.events.in_flight.FORGOTTEN_AFTER", 0.01)
    first, again = FakeDelivery(faults=[DeliveryLost("gone")]), FakeDelivery(redelivered=True)
    await bench.take(first)
    await bench.slot.answer(FAILED)
    await asyncio.gather(*bench.events._tasks.values())
    await bench.take(again)
    assert again.verbs == []
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert again.verbs == ["ack"]


async def test_one_message_that_is_delivered_twice_is_settled_twice(bench: Bench) -> None:
    """RabbitMQ's delay ladder may pass a message on twice; neither delivery is marked as a redelivery."""
    first, second = FakeDelivery(), FakeDelivery()
    await bench.take(first)
    await bench.take(second)
    await bench.slot.answer(DELIVERED)
    await bench.slot.answer(DELIVERED)
    await bench.done(2)
    await until(lambda: not bench.events._tasks)
    assert (first.verbs, second.verbs) == (["ack"], ["ack"])


async def test_a_redelivery_that_is_unknown_here_runs(bench: Bench) -> None:
    """Another worker had the event, and ended."""
    delivery = FakeDelivery(redelivered=True)
    await bench.take(delivery)
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert delivery.verbs == ["ack"]


async def test_a_settlement_that_is_not_confirmed_is_repeated_and_no_event_begins(bench: Bench) -> None:
    """More events might run twice."""
    held = FakeDelivery(faults=[BrokerUnavailable("away")] * 3)
    await bench.take(held)
    await bench.slot.answer(REJECTED)
    await until(lambda: len(held.faults) < 3)
    bench.broker.deliveries.put_nowait(FakeDelivery("m2"))
    await until(lambda: not held.faults)
    assert (bench.events.taken, bench.slot.asked.empty()) == (2, True)
    await bench.done(1)
    assert isinstance(held.verbs[0], Letter)
    await bench.slot.answer(DELIVERED)
    await bench.done(2)


async def test_an_unconfirmed_event_that_is_lost_holds_back_no_other_event(bench: Bench) -> None:
    """Its redelivery may be queued after other events, which must run first."""
    lost = FakeDelivery(faults=[BrokerUnavailable("away"), DeliveryLost("gone")])
    await bench.take(lost)
    await bench.slot.answer(FAILED)
    await until(lambda: not lost.faults)
    again = FakeDelivery(redelivered=True)
    for delivery in (FakeDelivery("m2"), FakeDelivery("m3"), again):
        bench.broker.deliveries.put_nowait(delivery)
    for _ in range(2):
        await bench.slot.answer(DELIVERED)
    await bench.done(3)
    ((envelope, _wait),) = again.verbs
    assert envelope.spent == 1


async def test_a_request_that_the_pool_does_not_take_is_sent_again(bench: Bench) -> None:
    """No attempt is spent, and the event is settled once."""
    delivery = FakeDelivery()
    await bench.take(delivery)
    await bench.slot.answer(NotTaken("refused"))
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert (delivery.verbs, bench.settled[0].envelope.attempt_number) == (["ack"], 1)


async def test_an_event_without_a_slot_returns_to_its_queue_when_the_worker_stops(bench: Bench) -> None:
    """The running event continues."""
    running, waiting = FakeDelivery("m1"), FakeDelivery("m2")
    await bench.take(running)
    bench.broker.deliveries.put_nowait(waiting)
    await until(bench.broker.deliveries.empty)
    bench.taking.cancel()
    await until(lambda: waiting.verbs)
    assert (running.verbs, waiting.verbs) == ([], ["give_back"])
    draining = asyncio.create_task(bench.events.drain(30))
    await bench.slot.answer(DELIVERED)
    assert await draining == 0
    assert running.verbs == ["ack"]


async def test_an_event_that_no_slot_takes_returns_to_its_queue_when_the_worker_drains(bench: Bench) -> None:
    """The event does not run, so the worker does not wait for the grace time."""
    delivery = FakeDelivery()
    await bench.take(delivery)
    bench.taking.cancel()
    bench.slot.usable = False
    await bench.slot.answer(NotTaken("away"))
    assert await bench.events.drain(30) == 0
    assert (delivery.verbs, bench.settled) == (["give_back"], [])


async def test_an_event_that_runs_longer_than_the_grace_time_is_cancelled_and_returns_to_its_queue(
    bench: Bench,
) -> None:
    """No attempt is spent."""
    delivery = FakeDelivery()
    await bench.take(delivery)
    assert await bench.events.drain(0.01) == 1
    assert delivery.verbs == ["give_back"]


@pytest.mark.parametrize("lost", ["before the worker drains", "meanwhile"])
async def test_a_worker_that_drains_does_not_wait_for_a_redelivery(bench: Bench, lost: str) -> None:
    """The worker takes no deliveries any more, so the redelivery goes to another worker."""
    delivery = FakeDelivery(faults=[DeliveryLost("gone")])
    await bench.take(delivery)
    if lost == "before the worker drains":
        await bench.slot.answer(DELIVERED)
        await until(lambda: bench.events.running == 0)
    draining = asyncio.create_task(bench.events.drain(30))
    if lost == "meanwhile":
        await asyncio.sleep(0)
        await bench.slot.answer(DELIVERED)
    assert await asyncio.wait_for(draining, PATIENCE) == 0
    assert (delivery.verbs, bench.settled) == ([], [])


async def test_the_limit_of_events_is_exact() -> None:
    """With `--max-events 2`, two events begin, and the third stays in the broker."""
    policy = from_object(Retrying())
    broker, slot = FakeBroker(), FakeSlot()
    replayer = Replayer({"default": Rules(30.0, Policies(policy, policy))}, ReplayTarget(), tell=tell_nobody)
    slots = Slots(1)
    events = EventConsumer(broker, slots, replayer, limit=2)
    slots.open(slot)
    for number in range(3):
        broker.deliveries.put_nowait(FakeDelivery(f"m{number}"))
    running = asyncio.create_task(events.run())
    await slot.answer(DELIVERED)
    await slot.answer(DELIVERED)
    await running
    await events.drain(10)
    assert (events.taken, broker.deliveries.qsize()) == (2, 1)


async def settled_by(replayer: Replayer, exchange: Exchange, tell: Tell = tell_nobody) -> FakeDelivery:
    """Let a replayer settle a delivery by this exchange, and return the delivery."""
    broker, slot, delivery = FakeBroker(), FakeSlot(), FakeDelivery()
    slots = Slots(1)
    events = EventConsumer(broker, slots, replayer, limit=1, tell=tell)
    slots.open(slot)
    broker.deliveries.put_nowait(delivery)
    await events.run()
    await slot.answer(exchange)
    await events.drain(10)
    return delivery


async def test_watchers_are_told_when_an_event_is_taken_begun_and_settled(bench: Bench) -> None:
    """The moments are in this order, and the last one has the outcome and the settlement."""
    await bench.take(FakeDelivery())
    await bench.slot.answer(FAILED)
    await bench.done(1)

    assert [type(moment) for moment in bench.moments] == [Taken, Begun, Settled]
    (settled,) = bench.settled
    assert (settled.queue, settled.attempt, settled.event.name) == ("default", 1, envelope().event.name)
    assert isinstance(settled.outcome, Failed)
    assert isinstance(settled.settlement, RetryAfter)
    assert settled.error == settled.settlement.error


async def test_an_event_that_the_pool_does_not_take_is_begun_again(bench: Bench) -> None:
    """The event is settled once."""
    await bench.take(FakeDelivery())
    await bench.slot.answer(NotTaken("refused"))
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert [type(moment) for moment in bench.moments] == [Taken, Begun, Begun, Settled]


async def test_watchers_are_not_told_of_a_redelivery(bench: Bench) -> None:
    """The redelivery joins the run of the first delivery."""
    await bench.take(FakeDelivery(faults=[DeliveryLost("gone")]))
    bench.broker.deliveries.put_nowait(FakeDelivery(redelivered=True))
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert [type(moment) for moment in bench.moments] == [Taken, Begun, Settled]


async def test_watchers_are_told_when_the_broker_is_lost_and_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told once, with the reason and the seconds."""
    monkeypatch.setattr("worker.events.consumer.LOOKED_EVERY", 0.001)
    bench.broker.live = frozenset({"default"})
    await bench.events.start()
    looking = asyncio.create_task(bench.events.keep_pace())
    bench.broker.live, bench.broker.trouble = frozenset(), "connection refused"
    await until(lambda: bench.moments)
    bench.broker.live = frozenset({"default"})
    await until(lambda: len(bench.moments) > 1)
    looking.cancel()

    lost, back = bench.moments
    assert lost == BrokerLost("connection refused")
    assert isinstance(back, BrokerBack)
    assert 0 < back.seconds < 10


async def test_a_watcher_that_raises_changes_nothing() -> None:
    """The event is settled as if there were no watcher, although every moment raises."""
    moments: list[type] = []

    def broken(moment: Moment) -> None:
        moments.append(type(moment))
        raise RuntimeError("broken watcher")

    policy = from_object(Retrying())
    tell = Watchers((broken,))
    replayer = Replayer({"default": Rules(30.0, Policies(policy, policy))}, ReplayTarget(), tell)
    assert (await settled_by(replayer, DELIVERED, tell)).verbs == ["ack"]
    assert moments == [Taken, Begun, Settled]


async def test_a_clock_that_changes_while_a_retry_is_settled_does_not_change_the_wait() -> None:
    """The broker gets the number of seconds to wait, which is not calculated from a second reading of the clock."""
    policy = from_object(Retrying(wait=wait_fixed(7)))
    hours = count()
    replayer = Replayer(
        {"default": Rules(30.0, Policies(policy, policy))},
        ReplayTarget(),
        tell=tell_nobody,
        now=lambda: datetime(2030, 1, 1, tzinfo=UTC) + timedelta(hours=next(hours)),
    )
    ((_envelope, wait),) = (await settled_by(replayer, FAILED)).verbs
    assert wait == timedelta(seconds=7)
