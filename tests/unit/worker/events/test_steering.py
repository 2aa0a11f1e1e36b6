"""What the take loop does when operators pause a queue or events, or cancel an event."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bridge.cancellations import Cancellation
from bridge.controls import Pause
from bridge.envelope import Envelope
from bridge.errors import DeliveryLost
from bridge.ledger import Letter
from bridge.moments import tell_nobody
from bridge.outcome import OutOfTime
from bridge.request import ReplayTarget
from bridge.retry_policy import from_table
from bridge.retry_table import DEFAULT
from bridge.settlement import DeadLetter, Policies
from tests.unit.bridge.examples import envelope, event
from tests.unit.worker.doubles import DELIVERED, FakeBroker, FakeDelivery, FakeSlot
from worker.events import consumer, unrun
from worker.events.consumer import EventConsumer
from worker.events.replay import Replayer, Rules
from worker.events.steering import ComeBack, GiveBack, Unsteered, instead_of_begin
from worker.slots.slot import Run
from worker.slots.slots import Slots

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MAIL = Pause("p1", "mail", None, None, "ana", "provider down", NOW)
PAID = Pause("p2", None, "order.#", None, "ana", "wrong prices", NOW)


class Steered(Unsteered):
    """Controls that a test sets."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.cancelled: dict[str, Cancellation] = {}
        self.interrupted: frozenset[str] = frozenset()

    def cancellation(self, envelope: Envelope) -> Cancellation | None:  # type: ignore[override]
        return self.cancelled.get(envelope.event.id)

    def is_cancelled(self, event: str) -> bool:
        return event in self.cancelled

    def newly_interrupted(self) -> frozenset[str]:
        interrupted, self.interrupted = self.interrupted, frozenset()
        return interrupted

    def look(self, *, live: bool) -> None:
        self.unknown = self.unknown or not live

    async def changed(self) -> None:
        await self.news.wait()
        self.news.clear()

    def cancel(self, event: str, *, running: bool = False) -> None:
        """Cancel an event."""
        self.cancelled[event] = Cancellation(event, running, "ana", "withdrawn", NOW)
        self.interrupted = frozenset({event}) if running else frozenset()
        self.news.set()


class InterruptibleSlot(FakeSlot):
    """A slot whose request can be interrupted."""

    def interrupt(self, run: Run) -> None:
        asyncio.create_task(self.answer(OutOfTime(1.0)))  # noqa: RUF006  # it ends in this turn


class Worker:
    """A consumer with one slot, of the queue `mail`."""

    def __init__(self) -> None:
        self.steering, self.broker, self.slot = Steered(), FakeBroker(), InterruptibleSlot()
        self.broker.live = frozenset({"mail"})
        policy = from_table(DEFAULT, lambda: 0.5)
        rules = {"mail": Rules(30.0, Policies(policy, policy))}
        slots = Slots(1)
        slots.open(self.slot)
        replayer = Replayer(rules, ReplayTarget(), tell_nobody, cancellation=self.steering.cancellation)
        self.events = EventConsumer(self.broker, slots, replayer, steering=self.steering)
        self.tasks = [asyncio.create_task(work) for work in (self._run(), self.events.obey(), self.events.keep_pace())]

    async def _run(self) -> None:
        await self.events.start()
        await self.events.run()

    def hand_out(self, *names: str) -> list[FakeDelivery]:
        """Hand out deliveries of events with these ids."""
        handed = [FakeDelivery(name, envelope=envelope(event=event(id=name)), queue="mail") for name in names]
        for each in handed:
            self.broker.deliveries.put_nowait(each)
        return handed

    @property
    def begun(self) -> list[str]:
        """The ids of the events whose requests were sent."""
        return [request.id for request in self.slot.requests]


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    """A worker that runs."""
    monkeypatch.setattr(unrun, "GIVEN_BACK_AFTER", 0.001)
    monkeypatch.setattr(consumer, "LOOKED_EVERY", 0.01)
    worker = Worker()
    await settled()
    yield worker
    for task in worker.tasks:
        task.cancel()
    await asyncio.wait(worker.tasks)
    await worker.events.drain(0)


async def settled() -> None:
    """Let the event loop run until nothing more happens by itself."""
    await asyncio.sleep(0.05)


async def test_a_pause_recalls_the_event_that_waits_for_a_slot_and_the_running_one_finishes(worker: Worker) -> None:
    """The event returns to its queue, whose prefetch is 0. After the resume the prefetch is as before."""
    running, in_line = worker.hand_out("e1", "e2")
    await settled()
    worker.steering.pauses = (MAIL,)
    worker.steering.news.set()
    await settled()
    assert (worker.begun, in_line.verbs, worker.broker.prefetch) == (["e1"], ["give_back"], {"mail": 0})
    assert (waits := worker.events.serving(30.0).queues["mail"].waits) is not None
    assert waits == "paused by ana: provider down"

    (late,) = worker.hand_out("e3")
    await worker.slot.answer(DELIVERED)
    await settled()

    assert (running.verbs, late.verbs, worker.begun) == (["ack"], ["give_back"], ["e1"])
    worker.steering.pauses = ()
    worker.steering.news.set()
    await settled()
    assert worker.broker.prefetch == {"mail": 1}


async def test_a_cancelled_event_ends_in_line_only_after_it_came_back(worker: Worker) -> None:
    """It leaves the line, and its redelivery becomes a dead letter."""
    _, in_line = worker.hand_out("e1", "e2")
    await settled()
    worker.steering.cancel("e2")
    await settled()
    assert in_line.verbs == ["give_back"]

    (again,) = worker.hand_out("e2")
    await settled()

    (letter,) = again.verbs
    assert isinstance(letter, Letter)
    assert (letter.reason, letter.error.message, worker.begun) == ("cancelled", "cancelled by ana: withdrawn", ["e1"])


@pytest.mark.parametrize("running", [True, False])
async def test_a_running_event_is_interrupted_only_if_asked(worker: Worker, running: bool) -> None:
    """Its attempt is in the letter."""
    (delivery,) = worker.hand_out("e1")
    await settled()

    worker.steering.cancel("e1", running=running)
    await settled()

    assert bool(delivery.verbs) is running
    if running:
        (letter,) = delivery.verbs
        assert (letter.reason, len(letter.envelope.attempts)) == ("cancelled", 1)


async def test_while_pauses_are_unknown_nothing_begins(worker: Worker) -> None:
    """The broker was lost, and an operator may have paused the queue meanwhile."""
    worker.steering.unknown = True
    worker.hand_out("e1")
    await settled()
    assert worker.begun == []

    worker.steering.unknown = False
    worker.steering.news.set()
    await settled()

    assert worker.begun == ["e1"]


async def test_after_a_break_that_nobody_saw_nothing_begins_before_the_pauses_are_read(worker: Worker) -> None:
    """The connection was replaced between two looks at it, and the first delivery of the new one is here already."""
    worker.broker.breaks += 1
    worker.hand_out("e1")
    await settled()
    assert worker.steering.unknown
    assert worker.begun == []

    worker.steering.unknown = False
    worker.steering.news.set()
    await settled()

    assert worker.begun == ["e1"]


async def test_after_a_break_what_waits_for_a_slot_does_not_begin(worker: Worker) -> None:
    """It had passed the gate before the break. It is delivered again, and meets the gate again."""
    running, in_line = worker.hand_out("e1", "e2")
    await settled()
    in_line.faults = [DeliveryLost("the connection is gone")]
    worker.broker.breaks += 1
    worker.hand_out("e2")
    await settled()
    await worker.slot.answer(DELIVERED)
    await settled()

    assert (worker.begun, running.verbs, worker.steering.unknown) == (["e1"], ["ack"], True)


def test_what_becomes_of_an_event_that_may_not_begin() -> None:
    """A cancellation goes before a pause. An event that is paused by its name comes back, later each time."""
    steering, paid = Steered(), envelope(event=event(id="e1", name="order.paid"))._replace(deferred_again=0)
    assert instead_of_begin(steering, paid, "mail") is None
    steering.pauses = (PAID,)
    first = instead_of_begin(steering, paid, "mail")
    assert isinstance(first, ComeBack)
    assert (first.wait, first.envelope.deferred_again, first.envelope.spent) == (timedelta(seconds=2), 1, paid.spent)
    last = instead_of_begin(steering, paid._replace(deferred_again=999), "mail")
    assert isinstance(last, ComeBack)
    assert last.wait == timedelta(seconds=30)
    steering.pauses = (PAID, MAIL)
    assert instead_of_begin(steering, paid, "mail") == GiveBack()
    steering.cancel("e1")
    assert isinstance(instead_of_begin(steering, paid, "mail"), DeadLetter)
