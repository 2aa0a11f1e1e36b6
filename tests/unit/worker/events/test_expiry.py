"""Expiry: an event is not begun at or after its `expires`, whether it waited in its queue or for a slot."""

import asyncio
from datetime import datetime, timedelta

import pytest
from tenacity import Retrying, stop_after_attempt, wait_fixed

from bridge.handling import Handling
from bridge.ledger import Letter
from bridge.moments import Begun, Moment, Settled
from bridge.outcome import NotBegun
from bridge.request import ReplayTarget
from bridge.retry_policy import from_object
from bridge.settlement import DeadLetter, Drop, Policies
from tests.limits import PATIENCE
from tests.unit.bridge.examples import NOW, envelope, event
from tests.unit.worker.doubles import DELIVERED, FakeBroker, FakeDelivery, FakeSlot
from worker.events.consumer import EventConsumer
from worker.events.replay import Replayer, Rules
from worker.slots.slots import Slots

EXPIRING = envelope(event=event(handling=Handling(expires=NOW)))
POLICY = from_object(Retrying(stop=stop_after_attempt(3), wait=wait_fixed(1)))


class Worker:
    """A consumer with one slot and a clock that the test sets, running."""

    def __init__(self, *, drops: bool = False) -> None:
        self.now = NOW - timedelta(seconds=1)
        self.moments: list[Moment] = []
        self.broker, self.slot, slots = FakeBroker(), FakeSlot(), Slots(1)
        rules = {"default": Rules(30.0, Policies(POLICY, POLICY, drops_expired=drops))}
        replayer = Replayer(rules, ReplayTarget(), self.moments.append, now=self.clock)
        self.events = EventConsumer(self.broker, slots, replayer)
        slots.open(self.slot)
        self.taking = asyncio.create_task(self.events.run())

    def clock(self) -> datetime:
        return self.now

    async def take(self, *deliveries: FakeDelivery) -> None:
        """Hand out the deliveries, and wait until they wait for a slot or are settled."""
        for delivery in deliveries:
            self.broker.deliveries.put_nowait(delivery)
        await until(lambda: self.events.taken == len(deliveries))

    async def deliver(self) -> None:
        """Answer the next request of the slot with a success."""
        async with asyncio.timeout(PATIENCE):
            await self.slot.answer(DELIVERED)

    async def done(self, count: int) -> Settled:
        """Wait until `count` events are settled; return the last settlement."""
        await until(lambda: sum(isinstance(moment, Settled) for moment in self.moments) == count)
        self.taking.cancel()
        await asyncio.wait((self.taking,))
        return next(moment for moment in reversed(self.moments) if isinstance(moment, Settled))


async def until(condition: object) -> None:
    """Let other tasks run until the condition holds."""
    assert callable(condition)
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


async def test_an_event_begins_until_it_expires() -> None:
    """A moment before `expires`, the event runs."""
    worker, delivery = Worker(), FakeDelivery(envelope=EXPIRING)

    await worker.take(delivery)
    await worker.deliver()
    await worker.done(1)

    assert delivery.verbs == ["ack"]


async def test_an_expired_event_is_a_dead_letter_that_was_not_begun() -> None:
    """At `expires` the slot gets no request, and no attempt is spent."""
    worker, delivery = Worker(), FakeDelivery(envelope=EXPIRING)
    worker.now = NOW

    await worker.take(delivery)
    settled = await worker.done(1)

    (letter,) = delivery.verbs
    assert isinstance(letter, Letter)
    assert (letter.reason, letter.error.type, letter.envelope.spent) == ("expired", "expired", 0)
    assert letter.error.message == "not begun before 2026-05-04T03:02:01.123456Z"
    assert isinstance(settled.outcome, NotBegun)
    assert isinstance(settled.settlement, DeadLetter)
    assert worker.slot.requests == []
    assert not [moment for moment in worker.moments if isinstance(moment, Begun)]


async def test_an_event_that_expires_while_it_waits_for_a_slot_is_not_begun() -> None:
    """The time is checked when the event has a slot. The slot is free for the next event."""
    worker, running, last = Worker(), FakeDelivery("m1"), FakeDelivery("m3")
    waiting = FakeDelivery("m2", envelope=EXPIRING)

    await worker.take(running, waiting)
    worker.now = NOW
    worker.broker.deliveries.put_nowait(last)
    await worker.deliver()
    await worker.deliver()
    await worker.done(3)

    assert (running.verbs, last.verbs, len(worker.slot.requests)) == (["ack"], ["ack"], 2)
    assert isinstance(waiting.verbs[0], Letter)


async def test_a_retry_does_not_begin_after_the_expiry() -> None:
    """An event with failed attempts expires too. Its letter has the attempts."""
    worker, delivery = Worker(), FakeDelivery(envelope=envelope(event=EXPIRING.event, spent=2))
    worker.now = NOW

    await worker.take(delivery)
    await worker.done(1)

    (letter,) = delivery.verbs
    assert (letter.reason, letter.envelope.spent) == ("expired", 2)


async def test_a_queue_can_drop_expired_events() -> None:
    """The event is acknowledged, and watchers are told."""
    worker, delivery = Worker(drops=True), FakeDelivery(envelope=EXPIRING)
    worker.now = NOW

    await worker.take(delivery)
    settled = await worker.done(1)

    assert delivery.verbs == ["ack"]
    assert settled.settlement == Drop(settled.outcome.error) if isinstance(settled.outcome, NotBegun) else False


@pytest.mark.parametrize("later", [0, 3600])
async def test_a_redriven_event_runs_after_its_expiry(later: int) -> None:
    """A person decided so."""
    worker, delivery = Worker(), FakeDelivery(envelope=EXPIRING.next_round(NOW))
    worker.now = NOW + timedelta(seconds=later)

    await worker.take(delivery)
    await worker.deliver()
    await worker.done(1)

    assert delivery.verbs == ["ack"]
