"""The serving status of an event consumer, from which its readiness is decided."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from bridge.attempt import Error
from bridge.errors import BrokerUnavailable
from bridge.moments import tell_nobody
from bridge.outcome import Failed, Succeeded
from bridge.request import ReplayTarget
from bridge.retry_policy import from_table
from bridge.retry_table import DEFAULT
from bridge.settlement import Policies
from bridge.status import QueueStatus
from tests.limits import PATIENCE
from tests.unit.bridge.examples import envelope, event
from tests.unit.worker.doubles import DELIVERED, FAILED, FakeBroker, FakeDelivery, FakeSlot
from worker.events import unrun
from worker.events.breakers import Breakers
from worker.events.consumer import EventConsumer
from worker.events.gate import GateState, Go, Wait, may_begin
from worker.events.queue_breaker import QueueBreaker
from worker.events.replay import Replayer, Rules
from worker.slots.slots import Slots


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
async def broker() -> FakeBroker:
    """Return a broker whose consumer is live on the queue `default`."""
    broker = FakeBroker()
    broker.live = frozenset({"default"})
    return broker


@pytest.fixture
async def slots() -> Slots:
    """Return the slots of a pool of size one; no slot is open yet."""
    return Slots(1)


@pytest.fixture
def breakers() -> Breakers:
    """Return the breakers, by a clock that stands at 0 s."""
    return Breakers({"default": QueueBreaker(1, as_a_whole=True)}, tell_nobody, lambda: 0.0)


@pytest.fixture
async def events(broker: FakeBroker, slots: Slots, breakers: Breakers) -> AsyncIterator[EventConsumer]:
    """Run a consumer of one queue, without a slot."""
    async with running(broker, slots, breakers) as events:
        yield events


def at_0_s(queue: str, now: float, state: GateState) -> Go | Wait:
    """Ask the gate at 0 s."""
    return may_begin(queue, 0.0, state)


@asynccontextmanager
async def running(broker: FakeBroker, slots: Slots, breakers: Breakers) -> AsyncIterator[EventConsumer]:
    """Run a consumer of one queue with these breakers, whose clock stands at 0 s for the gate too."""
    policy = from_table(DEFAULT, lambda: 0.5)
    rules = {"default": Rules(30.0, Policies(policy, policy), breaker=1)}
    replayer = Replayer(rules, ReplayTarget(), tell=tell_nobody, has_outcome=breakers.note)
    events = EventConsumer(broker, slots, replayer, breakers=breakers, gate=at_0_s)
    await events.start()
    taking = asyncio.create_task(events.run())
    yield events
    taking.cancel()
    await asyncio.wait((taking,))
    await events.drain(0)


async def test_a_healthy_consumer(events: EventConsumer, slots: Slots) -> None:
    """There is a live consumer on each queue, and a slot."""
    slots.open(FakeSlot())

    status = events.serving(60.0)

    assert (status.queues, status.slots, status.unconfirmed) == ({"default": QueueStatus(live=True)}, 1, 0)


async def test_a_consumer_that_is_gone(events: EventConsumer, broker: FakeBroker) -> None:
    """The queue is not live, and the status has the reason."""
    broker.live, broker.trouble = frozenset(), "the connection broke"

    status = events.serving(60.0)

    assert (status.queues, status.why) == ({"default": QueueStatus(live=False)}, "the connection broke")


async def test_a_queue_that_its_breaker_holds(events: EventConsumer, breakers: Breakers) -> None:
    """The status says so also while a probe is due and no event is there, and no more when the breaker has closed."""
    breakers.note("default", "do.it", "e1", Failed(Error("Down", "away")))

    queue = events.serving(60.0).queues["default"]

    assert (queue.breaker or "").startswith("its breaker: 1 event in a row failed alike (Down: away)")
    assert queue.waits is not None
    breakers.note("default", "do.it", "e2", Succeeded())
    assert events.serving(60.0).queues["default"].breaker is None


async def test_a_held_queue_keeps_one_event_of_each_priority(
    events: EventConsumer, slots: Slots, breakers: Breakers, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More, which were in hand when the breaker opened, return to the queue; these do not come and go. The first one is
    the probe."""
    slot = FakeSlot()
    slots.open(slot)
    monkeypatch.setattr(unrun, "GIVEN_BACK_AFTER", 0.001)
    breakers.note("default", "do.it", "e0", Failed(Error("Down", "away")))
    deliveries = [FakeDelivery(f"m{number}") for number in range(6)]
    for delivery in deliveries:
        await broker.deliveries.put(delivery)

    await until(lambda: [delivery.verbs for delivery in deliveries] == [*[[]] * 3, *[["give_back"]] * 3])
    breakers.probe_at_once("default")
    await until(lambda: len(slot.requests) == 1)
    assert events.running == 3


@pytest.fixture
def by_name() -> Breakers:
    """Return breakers that hold the events `down` of the queue `default`, by a clock that stands at 0 s."""
    breakers = Breakers({"default": QueueBreaker(1)}, tell_nobody, lambda: 0.0)
    breakers.note("default", "down", "e0", Failed(Error("Down", "away")))
    return breakers


async def test_events_of_a_name_that_is_held_leave_their_place(
    broker: FakeBroker, slots: Slots, by_name: Breakers
) -> None:
    """One of them stays in hand for the next probe, beyond the prefetch of the queue. The others of the queue run. The
    held ones come back one after the other, with no attempt spent."""
    slot = FakeSlot()
    slots.open(slot)
    deliveries = [
        FakeDelivery(f"m{at}", envelope=envelope(event=event(id=f"m{at}", name=name)))
        for at, name in enumerate(["down", "down", "up", "down"])
    ]

    async with running(broker, slots, by_name) as events:
        for delivery in deliveries:
            await broker.deliveries.put(delivery)
        await until(lambda: bool(slot.requests))
        await until(lambda: bool(deliveries[3].verbs))
        assert [request.id for request in slot.requests] == ["m2"]
        assert deliveries[0].verbs == []
        waits = [verb for delivery in deliveries for verb in delivery.verbs]
        assert [wait.total_seconds() for _, wait in waits] == [1.01, 1.02]
        assert {(put_back.spent, put_back.deferred_again) for put_back, _ in waits} == {(0, 1)}
        pace = asyncio.create_task(events.keep_pace())
        await until(lambda: broker.prefetch == {"default": 2})
        pace.cancel()
        assert (events.serving(60.0).queues["default"].breaker or "").startswith("the breaker of down: 1 event in")


async def test_a_probe_is_asked_for(broker: FakeBroker, slots: Slots, by_name: Breakers) -> None:
    """The event in hand begins at once. Its failure spends no attempt, and it comes back after the next probe."""
    slot = FakeSlot()
    slots.open(slot)
    delivery = FakeDelivery(envelope=envelope(event=event(name="down")))

    async with running(broker, slots, by_name) as events:
        await broker.deliveries.put(delivery)
        await until(lambda: events.running == 1)
        assert by_name.probe_at_once("default")
        await slot.answer(FAILED)
        await until(lambda: bool(delivery.verbs))

    ((put_back, wait),) = delivery.verbs
    assert (put_back.spent, len(put_back.attempts), wait.total_seconds()) == (0, 1, 2.0)


async def test_a_worker_that_waits_for_a_probe_is_not_stuck(
    broker: FakeBroker, slots: Slots, by_name: Breakers
) -> None:
    """The time in which nothing is settled begins with the probe."""
    slot = FakeSlot()
    slots.open(slot)

    async with running(broker, slots, by_name) as events:
        await broker.deliveries.put(FakeDelivery(envelope=envelope(event=event(name="down"))))
        await until(lambda: events.running == 1)
        await asyncio.sleep(0.2)
        assert events.serving(60.0).progress == 0.0
        by_name.probe_at_once("default")
        assert 0.0 <= events.serving(60.0).progress < 0.2
        await until(lambda: events.serving(60.0).progress > 0.0)


async def test_the_events_of_a_name_begin_when_a_probe_succeeds(
    broker: FakeBroker, slots: Slots, by_name: Breakers
) -> None:
    """The event in hand waits no longer."""
    slot = FakeSlot()
    slots.open(slot)

    async with running(broker, slots, by_name) as events:
        await broker.deliveries.put(FakeDelivery(envelope=envelope(event=event(id="m1", name="down"))))
        await until(lambda: events.running == 1)
        assert slot.requests == []
        by_name.note("default", "down", "e9", Succeeded())
        await until(lambda: [request.id for request in slot.requests] == ["m1"])


async def test_broken_slots_do_not_count(events: EventConsumer, slots: Slots) -> None:
    """A free slot counts only while it is usable."""
    slot = FakeSlot()
    slots.open(slot)

    slot.usable = False

    assert events.serving(60.0).slots == 0


async def test_settling_an_event_is_progress(events: EventConsumer, slots: Slots, broker: FakeBroker) -> None:
    """The seconds without progress start with the first event that is held, and again with each settlement."""
    await broker.deliveries.put(FakeDelivery("m1"))
    await until(lambda: events.running == 1)
    await until(lambda: events.serving(60.0).progress >= 0.2)
    before = events.serving(60.0).progress
    slot = FakeSlot()
    slots.open(slot)

    await slot.answer(DELIVERED)
    await until(lambda: events.finished == 1)

    assert events.serving(60.0).progress < before


async def test_unconfirmed_settlements(events: EventConsumer, slots: Slots, broker: FakeBroker) -> None:
    """Settlements that the broker does not confirm are counted."""
    slot = FakeSlot()
    slots.open(slot)
    await broker.deliveries.put(FakeDelivery(faults=[BrokerUnavailable("no confirm")]))

    await slot.answer(DELIVERED)

    await until(lambda: events.serving(60.0).unconfirmed == 1)
    await until(lambda: events.serving(60.0).unconfirmed == 0)


async def test_how_late_events_are(events: EventConsumer, slots: Slots, broker: FakeBroker) -> None:
    """The oldest event that has not run before decides. Retries do not count."""
    assert events.serving(60.0).late == 0
    began = datetime.now(UTC)
    retried = envelope()._replace(round_began=began - timedelta(hours=9), spent=2)
    for number, each in enumerate(
        (retried, *(envelope()._replace(round_began=began - timedelta(hours=h)) for h in (1, 2)))
    ):
        await broker.deliveries.put(FakeDelivery(f"m{number}", envelope=each))
        slots.open(FakeSlot())

    await until(lambda: events.running == 3)

    assert 7200 <= events.serving(60.0).late < 7300
