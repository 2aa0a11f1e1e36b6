"""Halt: the queue is paused before the event is put back into it."""

import asyncio
import json
from datetime import timedelta

import pytest
from tenacity import Retrying, stop_after_attempt, wait_fixed

from bridge.envelope import Envelope
from bridge.moments import Moment, Settled
from bridge.outcome import Reply
from bridge.request import ReplayTarget
from bridge.retry_policy import from_object
from bridge.settlement import Halt, Policies
from tests.limits import PATIENCE
from tests.unit.worker.doubles import FakeBroker, FakeDelivery, FakeSlot
from worker.events.consumer import EventConsumer
from worker.events.replay import HALT_WAIT, Replayer, Rules, cannot_halt
from worker.slots.slots import Slots

POLICY = from_object(Retrying(stop=stop_after_attempt(3), wait=wait_fixed(1)))
HALTED = Reply(
    503,
    {
        "bridge-outcome": "halt",
        "bridge-error": json.dumps({"type": "Halt", "message": "look", "traceback": None}),
        "bridge-finished": '["a"]',
    },
)


class Worker:
    """A consumer with one slot, running. `told` has what it halted, and the number of verbs before."""

    def __init__(self, delivery: FakeDelivery, *, can_halt: bool) -> None:
        self.moments: list[Moment] = []
        self.told: list[tuple[str, str, int]] = []
        self.delivery = delivery
        self.broker, self.slot, slots = FakeBroker(), FakeSlot(), Slots(1)
        rules = {"default": Rules(30.0, Policies(POLICY, POLICY))}
        replayer = Replayer(rules, ReplayTarget(), self.moments.append, halt=self.halt if can_halt else cannot_halt)
        self.events = EventConsumer(self.broker, slots, replayer)
        slots.open(self.slot)
        self.taking = asyncio.create_task(self.events.run())

    async def halt(self, queue: str, envelope: Envelope, why: str) -> bool:
        self.told.append((queue, why, len(self.delivery.verbs)))
        return True

    async def settled(self) -> Settled:
        """Hand out the delivery, answer it with a halt, and wait until its settlement is told."""
        self.broker.deliveries.put_nowait(self.delivery)
        async with asyncio.timeout(PATIENCE):
            await self.slot.answer(HALTED)
            while not (found := [moment for moment in self.moments if isinstance(moment, Settled)]):
                await asyncio.sleep(0.001)
        return found[0]

    async def end(self) -> None:
        self.taking.cancel()
        await asyncio.wait((self.taking,))


async def test_the_queue_is_paused_and_then_the_event_is_put_back() -> None:
    """It may begin again at once, when the pause ends. The listeners that have finished stay finished."""
    delivery = FakeDelivery()
    worker = Worker(delivery, can_halt=True)

    settled = await worker.settled()
    await worker.end()

    ((envelope, wait),) = delivery.verbs
    assert worker.told == [("default", "look", 0)]
    assert (envelope.finished, envelope.spent, wait) == (("a",), 0, timedelta())
    assert isinstance(settled.settlement, Halt)


async def test_a_queue_that_cannot_be_paused_goes_on_and_the_event_waits(caplog: pytest.LogCaptureFixture) -> None:
    """The worker logs a warning with the reason. The listeners that have finished stay finished."""
    delivery = FakeDelivery()
    worker = Worker(delivery, can_halt=False)

    await worker.settled()
    await worker.end()

    ((envelope, wait),) = delivery.verbs
    assert (envelope.finished, envelope.spent, wait.total_seconds()) == (("a",), 0, HALT_WAIT)
    assert "a listener halts the queue default, which this worker cannot pause" in caplog.text
