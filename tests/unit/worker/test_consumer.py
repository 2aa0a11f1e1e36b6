"""The event consumer under faults: what runs twice, what is held, what goes back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from tenacity import Retrying, stop_after_attempt, wait_fixed

from bridge.envelope import Envelope
from bridge.errors import BrokerUnavailable, DeliveryLost
from bridge.ledger import Letter
from bridge.outcome import Exchange, NotTaken
from bridge.request import Site
from bridge.retry_policy import from_object
from bridge.settlement import Policies
from bridge.telemetry import Settled
from tests.unit.worker.doubles import DELIVERED, FAILED, REJECTED, FakeBroker, FakeDelivery, FakeSlot
from worker.consumer import EventConsumer
from worker.replay import Replayer, Rules
from worker.slots import Slots


@dataclass
class Bench:
    """An event consumer with one slot, running."""

    broker: FakeBroker
    slot: FakeSlot
    events: EventConsumer
    settled: list[Settled]
    taking: asyncio.Task[str]

    async def take(self, delivery: FakeDelivery) -> None:
        """Hand out a delivery, and wait until its replay has begun."""
        taken = self.events.taken
        self.broker.deliveries.put_nowait(delivery)
        await until(lambda: self.events.taken > taken)

    async def done(self, count: int) -> None:
        """Wait until so many events are settled."""
        await until(lambda: len(self.settled) >= count)


async def until(condition: object) -> None:
    """Let other tasks run until it holds."""
    assert callable(condition)
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """One slot, three attempts a round, one second apart."""
    policy = from_object(Retrying(stop=stop_after_attempt(3), wait=wait_fixed(1)))
    settled: list[Settled] = []
    replayer = Replayer({"default": Rules(30.0, Policies(policy, policy))}, Site(), hooks=(settled.append,))
    broker, slot = FakeBroker(), FakeSlot()
    events = EventConsumer(broker, Slots(), replayer)
    events.open_slot(slot)
    taking = asyncio.create_task(events.run())
    yield Bench(broker, slot, events, settled, taking)
    taking.cancel()
    await asyncio.wait((taking,))
    await events.drain(0)


async def test_an_event_is_acked_after_its_reply_and_not_before(bench: Bench) -> None:
    """The ack says that the effect is there."""
    delivery = FakeDelivery()
    await bench.take(delivery)
    assert delivery.verbs == []
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert delivery.verbs == ["ack"]


async def test_a_redelivery_of_what_is_running_joins_that_run(bench: Bench) -> None:
    """The run goes on, and settles what came last."""
    first = FakeDelivery(faults=[DeliveryLost("gone")])
    await bench.take(first)
    again = FakeDelivery(redelivered=True)
    bench.broker.deliveries.put_nowait(again)
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert (again.verbs, bench.events.taken) == (["ack"], 1)


async def test_a_redelivery_beside_the_first_is_acked_and_so_is_the_first(bench: Bench) -> None:
    """A cluster's node that was out of sight for a moment delivers again on the same connection: what is left unacked
    of it would count as held for ever."""
    first, again = FakeDelivery(), FakeDelivery(redelivered=True)
    await bench.take(first)
    bench.broker.deliveries.put_nowait(again)
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert (first.verbs, again.verbs) == (["ack"], ["ack"])


async def test_a_run_whose_delivery_was_lost_waits_for_it_to_come_again(bench: Bench) -> None:
    """It is not in flight here meanwhile, and its slot is free."""
    first = FakeDelivery(faults=[DeliveryLost("gone")])
    await bench.take(first)
    await bench.slot.answer(FAILED)
    await until(lambda: bench.events.running == 0)
    again = FakeDelivery(redelivered=True)
    bench.broker.deliveries.put_nowait(again)
    await bench.done(1)
    ((envelope, _wait),) = again.verbs
    assert envelope.spent == 1


async def test_a_redelivery_of_what_was_settled_here_is_acked_and_not_run(bench: Bench) -> None:
    """Its ack was lost with its connection."""
    await bench.take(FakeDelivery())
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    again = FakeDelivery(redelivered=True)
    bench.broker.deliveries.put_nowait(again)
    await until(lambda: again.verbs)
    assert (again.verbs, bench.events.taken) == (["ack"], 1)


class Confirming(FakeDelivery):
    """A delivery whose retry is confirmed when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.confirmed = asyncio.Event(), asyncio.Event()

    async def retry(self, envelope: Envelope, wait: timedelta) -> None:
        self.asked.set()
        await self.confirmed.wait()
        await super().retry(envelope, wait)


async def test_a_redelivery_that_comes_while_its_retry_is_confirmed_is_acked_too(bench: Bench) -> None:
    """Else nobody would ever settle it, and its room would be taken for good."""
    first, again = Confirming(), FakeDelivery(redelivered=True)
    await bench.take(first)
    await bench.slot.answer(FAILED)
    await first.asked.wait()
    bench.broker.deliveries.put_nowait(again)
    await until(bench.broker.deliveries.empty)
    first.confirmed.set()
    await bench.done(1)
    assert (len(first.verbs), again.verbs, bench.events.taken) == (1, ["ack"], 1)


async def test_a_settlement_that_takes_its_time_is_said_to_and_done_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As while RabbitMQ is out of memory: nothing new is begun, the log says why, and nothing is published again."""
    monkeypatch.setattr("worker.held.UNCONFIRMED_AFTER", 0.01)
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


async def test_what_went_elsewhere_is_not_taken_for_settled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody confirmed its retry: should it come to us after all, it runs, and is not acked."""
    monkeypatch.setattr("worker.held.FORGOTTEN_AFTER", 0.01)
    first, again = FakeDelivery(faults=[DeliveryLost("gone")]), FakeDelivery(redelivered=True)
    await bench.take(first)
    await bench.slot.answer(FAILED)
    await asyncio.gather(*bench.events._tasks)
    await bench.take(again)
    assert again.verbs == []
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert again.verbs == ["ack"]


async def test_one_message_that_comes_twice_is_settled_twice(bench: Bench) -> None:
    """RabbitMQ's ladder may hand it on twice; neither delivery says so, and each is to be settled."""
    first, second = FakeDelivery(), FakeDelivery()
    await bench.take(first)
    await bench.take(second)
    await bench.slot.answer(DELIVERED)
    await bench.slot.answer(DELIVERED)
    await bench.done(2)
    await until(lambda: not bench.events._tasks)
    assert (first.verbs, second.verbs) == (["ack"], ["ack"])


async def test_a_redelivery_that_is_unknown_here_runs(bench: Bench) -> None:
    """Somebody else had it, and ended."""
    delivery = FakeDelivery(redelivered=True)
    await bench.take(delivery)
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert delivery.verbs == ["ack"]


async def test_what_cannot_be_confirmed_is_held_and_repeated_and_nothing_new_begins(bench: Bench) -> None:
    """Taking more would only add to what may run twice."""
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


async def test_what_cannot_be_confirmed_and_is_lost_may_come_again_behind_others(bench: Bench) -> None:
    """As many as have room come before it; nothing is held back for a settlement that is to be made anew."""
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


async def test_what_the_pool_does_not_take_is_kept_and_sent_again(bench: Bench) -> None:
    """No attempt is spent, nothing is settled in between."""
    delivery = FakeDelivery()
    await bench.take(delivery)
    await bench.slot.answer(NotTaken("refused"))
    await bench.slot.answer(DELIVERED)
    await bench.done(1)
    assert (delivery.verbs, bench.settled[0].envelope.attempt_number) == (["ack"], 1)


async def test_what_was_fetched_and_not_begun_goes_back_at_once(bench: Bench) -> None:
    """While what runs goes on."""
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


async def test_what_no_slot_takes_goes_back_at_once_when_the_worker_drains(bench: Bench) -> None:
    """Nothing runs that the grace could be for."""
    delivery = FakeDelivery()
    await bench.take(delivery)
    bench.taking.cancel()
    bench.slot.usable = False
    await bench.slot.answer(NotTaken("away"))
    assert await bench.events.drain(30) == 0
    assert (delivery.verbs, bench.settled) == (["give_back"], [])


async def test_what_runs_past_the_grace_is_cut_off_and_goes_back(bench: Bench) -> None:
    """No attempt is spent for it."""
    delivery = FakeDelivery()
    await bench.take(delivery)
    assert await bench.events.drain(0.01) == 1
    assert delivery.verbs == ["give_back"]


@pytest.mark.parametrize("lost", ["before the worker drains", "meanwhile"])
async def test_what_is_lost_while_the_worker_drains_is_not_waited_for(bench: Bench, lost: str) -> None:
    """It cannot come again to a worker that takes nothing any more, and is left to the next."""
    delivery = FakeDelivery(faults=[DeliveryLost("gone")])
    await bench.take(delivery)
    if lost == "before the worker drains":
        await bench.slot.answer(DELIVERED)
        await until(lambda: bench.events.running == 0)
    draining = asyncio.create_task(bench.events.drain(30))
    if lost == "meanwhile":
        await asyncio.sleep(0)
        await bench.slot.answer(DELIVERED)
    assert await asyncio.wait_for(draining, 5) == 0
    assert (delivery.verbs, bench.settled) == ([], [])


async def test_a_limit_is_exact() -> None:
    """`--max-events 2` begins two, and the third stays where it is."""
    policy = from_object(Retrying())
    broker, slot = FakeBroker(), FakeSlot()
    replayer = Replayer({"default": Rules(30.0, Policies(policy, policy))}, Site(), hooks=())
    events = EventConsumer(broker, Slots(), replayer, limit=2)
    events.open_slot(slot)
    for number in range(3):
        broker.deliveries.put_nowait(FakeDelivery(f"m{number}"))
    running = asyncio.create_task(events.run())
    await slot.answer(DELIVERED)
    await slot.answer(DELIVERED)
    await running
    await events.drain(10)
    assert (events.taken, broker.deliveries.qsize()) == (2, 1)


async def settled_by(replayer: Replayer, exchange: Exchange) -> FakeDelivery:
    """A delivery that this replayer has settled, when its exchange has come to this."""
    broker, slot, delivery = FakeBroker(), FakeSlot(), FakeDelivery()
    events = EventConsumer(broker, Slots(), replayer, limit=1)
    events.open_slot(slot)
    broker.deliveries.put_nowait(delivery)
    await events.run()
    await slot.answer(exchange)
    await events.drain(10)
    return delivery


async def test_a_hook_that_fails_changes_nothing() -> None:
    """It hears last, and decides nothing."""

    def broken(settled: Settled) -> None:
        raise RuntimeError("broken hook")

    policy = from_object(Retrying())
    replayer = Replayer({"default": Rules(30.0, Policies(policy, policy))}, Site(), hooks=(broken,))
    assert (await settled_by(replayer, DELIVERED)).verbs == ["ack"]


async def test_a_clock_that_is_set_while_a_retry_is_settled_changes_nothing() -> None:
    """What was decided by one look at the clock is not measured by another: the broker is told how long to wait."""
    policy = from_object(Retrying(wait=wait_fixed(7)))
    hours = count()
    replayer = Replayer(
        {"default": Rules(30.0, Policies(policy, policy))},
        Site(),
        hooks=(),
        now=lambda: datetime(2030, 1, 1, tzinfo=UTC) + timedelta(hours=next(hours)),
    )
    ((_envelope, wait),) = (await settled_by(replayer, FAILED)).verbs
    assert wait == timedelta(seconds=7)
