"""What an event consumer says of itself, from which its readiness is decided."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.errors import BrokerUnavailable
from bridge.request import Site
from bridge.retry_policy import from_table
from bridge.retry_table import DEFAULT
from bridge.settlement import Policies
from tests.unit.bridge.examples import envelope
from tests.unit.worker.doubles import DELIVERED, FakeBroker, FakeDelivery, FakeSlot
from worker.consumer import EventConsumer
from worker.replay import Replayer, Rules
from worker.slots import Slots


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until it holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
async def broker() -> FakeBroker:
    """A broker whose consumer is live on its queue."""
    broker = FakeBroker()
    broker.live = frozenset({"default"})
    return broker


@pytest.fixture
async def events(broker: FakeBroker) -> AsyncIterator[EventConsumer]:
    """Running, on one queue, without a slot."""
    policy = from_table(DEFAULT, lambda: 0.5)
    replayer = Replayer({"default": Rules(30.0, Policies(policy, policy))}, Site(), hooks=())
    events = EventConsumer(broker, Slots(), replayer)
    await events.start({"default": 1}, 1)
    taking = asyncio.create_task(events.run())
    yield events
    taking.cancel()
    await asyncio.wait((taking,))
    await events.drain(0)


async def test_it_is_well(events: EventConsumer) -> None:
    """A live consumer on each queue, and a slot."""
    events.open_slot(FakeSlot())

    said = events.serving()

    assert (said["queues"], said["slots"], said["unconfirmed"]) == ({"default": True}, 1, 0)


async def test_a_consumer_that_is_gone(events: EventConsumer, broker: FakeBroker) -> None:
    """The queue is told of as not live, and why."""
    broker.live, broker.trouble = frozenset(), "the connection broke"

    said = events.serving()

    assert (said["queues"], said["why"]) == ({"default": False}, "the connection broke")


async def test_slots_that_broke_are_none(events: EventConsumer) -> None:
    """A slot counts, free or leased, for as long as it can be used."""
    slot = FakeSlot()
    events.open_slot(slot)

    slot.usable = False

    assert events.serving()["slots"] == 0


async def test_progress_is_made_by_settling(events: EventConsumer, broker: FakeBroker) -> None:
    """It is counted from the first event in hand, and anew from each that is settled."""
    await broker.deliveries.put(FakeDelivery("m1"))
    await until(lambda: events.running == 1)
    await until(lambda: events.serving()["progress"] >= 0.2)
    before = events.serving()["progress"]
    slot = FakeSlot()
    events.open_slot(slot)

    await slot.answer(DELIVERED)
    await until(lambda: events.finished == 1)

    assert events.serving()["progress"] < before


async def test_what_is_not_confirmed(events: EventConsumer, broker: FakeBroker) -> None:
    """Settlements that the broker does not confirm are counted."""
    slot = FakeSlot()
    events.open_slot(slot)
    await broker.deliveries.put(FakeDelivery(faults=[BrokerUnavailable("no confirm")]))

    await slot.answer(DELIVERED)

    await until(lambda: events.serving()["unconfirmed"] == 1)
    await until(lambda: events.serving()["unconfirmed"] == 0)


async def test_how_late_events_are(events: EventConsumer, broker: FakeBroker) -> None:
    """By the oldest in hand that has not run before: a retry was not late."""
    assert events.serving()["late"] == 0
    began = datetime.now(UTC)
    retried = replace(envelope(), round_began=began - timedelta(hours=9), spent=2)
    for number, each in enumerate(
        (retried, *(replace(envelope(), round_began=began - timedelta(hours=h)) for h in (1, 2)))
    ):
        await broker.deliveries.put(FakeDelivery(f"m{number}", envelope=each))
        events.open_slot(FakeSlot())

    await until(lambda: events.running == 3)

    assert 7200 <= events.serving()["late"] < 7300
