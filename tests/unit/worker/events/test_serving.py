"""The serving status of an event consumer, from which its readiness is decided."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
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
from tests.unit.bridge.examples import envelope
from tests.unit.worker.doubles import DELIVERED, FakeBroker, FakeDelivery, FakeSlot
from worker.events import unrun
from worker.events.breakers import Breakers
from worker.events.consumer import EventConsumer
from worker.events.replay import Replayer, Rules
from worker.slots.slots import Slots


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(10):
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
    return Breakers({"default": 1}, tell_nobody, lambda: 0.0)


@pytest.fixture
async def events(broker: FakeBroker, slots: Slots, breakers: Breakers) -> AsyncIterator[EventConsumer]:
    """Run a consumer of one queue, without a slot."""
    policy = from_table(DEFAULT, lambda: 0.5)
    replayer = Replayer({"default": Rules(30.0, Policies(policy, policy))}, ReplayTarget(), tell=tell_nobody)
    events = EventConsumer(broker, slots, replayer, breakers=breakers)
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
    breakers.note("default", "e1", Failed(Error("Down", "away")))

    queue = events.serving(60.0).queues["default"]

    assert (queue.breaker or "").startswith("its breaker: 1 event in a row failed alike (Down: away)")
    assert queue.waits is not None
    breakers.note("default", "e2", Succeeded())
    assert events.serving(60.0).queues["default"].breaker is None


async def test_a_held_queue_keeps_one_event_of_each_priority(
    events: EventConsumer, slots: Slots, breakers: Breakers, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More, which were in hand when the breaker opened, return to the queue; these do not come and go. The first one is
    the probe."""
    slots.open(FakeSlot())
    monkeypatch.setattr(unrun, "GIVEN_BACK_AFTER", 0.001)
    breakers.note("default", "e0", Failed(Error("Down", "away")))
    deliveries = [FakeDelivery(f"m{number}") for number in range(6)]
    for delivery in deliveries:
        await broker.deliveries.put(delivery)

    await until(lambda: [delivery.verbs for delivery in deliveries] == [*[[]] * 4, ["give_back"], ["give_back"]])
    await asyncio.sleep(0.05)
    assert events.running == 4


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
    retried = replace(envelope(), round_began=began - timedelta(hours=9), spent=2)
    for number, each in enumerate(
        (retried, *(replace(envelope(), round_began=began - timedelta(hours=h)) for h in (1, 2)))
    ):
        await broker.deliveries.put(FakeDelivery(f"m{number}", envelope=each))
        slots.open(FakeSlot())

    await until(lambda: events.running == 3)

    assert 7200 <= events.serving(60.0).late < 7300
