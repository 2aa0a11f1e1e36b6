"""Events at the gate: the take loop holds them, lets them begin in order, and returns them to their queue."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from math import inf

import pytest

from bridge.errors import BrokerUnavailable, DeliveryLost
from bridge.ledger import Letter
from bridge.moments import tell_nobody
from bridge.request import ReplayTarget
from bridge.retry_policy import from_table
from bridge.retry_table import DEFAULT
from bridge.settlement import Policies
from tests.limits import PATIENCE
from tests.unit.bridge.examples import envelope, event
from tests.unit.worker.doubles import DELIVERED, FakeBroker, FakeDelivery, FakeSlot
from worker.events import consumer
from worker.events.consumer import EventConsumer
from worker.events.gate import GO, GateState, Go, Wait, may_begin
from worker.events.replay import Replayer, Rules
from worker.slots.slots import Slots

SLOTS = 3


class Shut:
    """A gate that lets no event begin until a test opens it."""

    def __init__(self, seconds: float = inf) -> None:
        self.open = False
        self._seconds = seconds

    def __call__(self, queue: str, now: float, state: GateState) -> Go | Wait:
        return GO if self.open else Wait(self._seconds, "shut by a test")


@dataclass
class Worker:
    """An event consumer with three slots and the queues `default` and `reports`; `reports` may use one slot."""

    broker: FakeBroker
    slot: list[FakeSlot]
    slots: Slots
    events: EventConsumer
    running: asyncio.Task[str]

    def hand_out(self, *names: str) -> Mapping[str, FakeDelivery]:
        """Hand out deliveries of events. Names that begin with r belong to the queue `reports`."""
        handed = {}
        for name in names:
            queue = "reports" if name.startswith("r") else "default"
            handed[name] = FakeDelivery(name, envelope=envelope(event=event(id=name)), queue=queue)
            self.broker.deliveries.put_nowait(handed[name])
        return handed

    @property
    def begun(self) -> set[str]:
        """The ids of the events whose requests were sent to a slot."""
        return {request.id for slot in self.slot for request in slot.requests}

    async def answer(self, name: str) -> None:
        """Let the running event of this id succeed."""
        await next(slot for slot in self.slot if slot.requests and slot.requests[-1].id == name).answer(DELIVERED)


def worker(gate: consumer.Gate = may_begin, limit: int | None = None) -> Worker:
    """Return a consumer that runs."""
    policy = from_table(DEFAULT, lambda: 0.5)
    policies = Policies(policy, policy)
    rules = {"default": Rules(30.0, policies), "reports": Rules(30.0, policies, slots=1)}
    broker, slot, slots = FakeBroker(), [FakeSlot() for _ in range(SLOTS)], Slots(SLOTS)
    for each in slot:
        slots.open(each)
    events = EventConsumer(broker, slots, Replayer(rules, ReplayTarget(), tell_nobody), limit, gate=gate)

    async def run() -> str:
        await events.start()
        return await events.run()

    return Worker(broker, slot, slots, events, asyncio.create_task(run()))


@pytest.fixture
async def at_work() -> AsyncIterator[Worker]:
    """Run a worker with the real gate."""
    one = worker()
    yield one
    await ended(one)


async def ended(one: Worker) -> None:
    """Stop a worker."""
    one.running.cancel()
    await asyncio.wait((one.running,))
    await one.events.drain(0)


async def settle_down() -> None:
    """Let the event loop run until nothing more happens by itself."""
    for _ in range(30):
        await asyncio.sleep(0)


def waits(one: Worker) -> Mapping[str, str]:
    """Return the reasons why queues wait, from the status."""
    queues = one.events.serving(30.0).queues
    return {name: queue.waits for name, queue in queues.items() if queue.waits is not None}


async def test_a_queue_runs_no_more_events_than_its_slots_and_other_queues_continue(at_work: Worker) -> None:
    """Events of the queue begin in their order, each when the one before is settled. The status has the reason."""
    at_work.hand_out("r1", "r2", "r3", "d1")
    await settle_down()
    assert (at_work.begun, waits(at_work)) == ({"r1", "d1"}, {"reports": "its slot is taken"})
    await at_work.answer("r1")
    await settle_down()
    assert at_work.begun == {"r1", "d1", "r2"}
    await at_work.answer("r2")
    await settle_down()
    await at_work.answer("r3")
    await settle_down()
    assert waits(at_work) == {}


async def test_an_event_whose_delivery_was_lost_takes_no_slot_of_its_queue(at_work: Worker) -> None:
    """The redelivery may be queued after the event that waits."""
    at_work.hand_out("r1", "r2")["r1"].faults.append(DeliveryLost("gone"))
    await settle_down()
    assert at_work.begun == {"r1"}
    await at_work.answer("r1")
    await settle_down()
    assert at_work.begun == {"r1", "r2"}


async def test_a_redelivery_of_an_event_at_the_gate_joins_that_event(at_work: Worker) -> None:
    """The event runs once, and both deliveries are settled."""
    handed = at_work.hand_out("r1", "r2")
    await settle_down()
    again = FakeDelivery("r2", redelivered=True, envelope=handed["r2"].envelope, queue="reports")
    at_work.broker.deliveries.put_nowait(again)
    await at_work.answer("r1")
    await settle_down()
    await at_work.answer("r2")
    await settle_down()
    assert (handed["r2"].verbs, again.verbs, at_work.events.taken) == (["ack"], ["ack"], 2)


async def test_the_gate_is_asked_again_after_the_seconds_of_a_wait() -> None:
    """The event begins then, although nothing else happens."""
    gate = Shut(seconds=0.05)
    one = worker(gate)
    one.hand_out("d1")
    await settle_down()
    gate.open = True
    assert one.begun == set()
    async with asyncio.timeout(PATIENCE):
        while one.begun != {"d1"}:
            await asyncio.sleep(0.01)
    await ended(one)


async def test_no_more_events_are_taken_than_there_are_slots_while_the_gate_is_shut() -> None:
    """The other events stay with the broker's consumer, which can return them to their queue."""
    one = worker(Shut())
    one.hand_out(*(f"d{number}" for number in range(9)))
    await settle_down()
    assert (one.events.taken, one.events.running, one.broker.deliveries.qsize()) == (SLOTS, SLOTS, 9 - SLOTS)
    assert waits(one) == dict.fromkeys(("default", "reports"), "shut by a test")
    await ended(one)


async def test_events_at_the_gate_return_to_their_queue_when_the_worker_stops() -> None:
    """They return at once, although the gate is shut."""
    one = worker(Shut())
    handed = one.hand_out("d1", "d2")
    await settle_down()
    one.running.cancel()
    await settle_down()
    assert [delivery.verbs for delivery in handed.values()] == [["give_back"], ["give_back"]]
    assert await one.events.drain(30) == 0


async def test_the_gate_knows_of_the_first_unconfirmed_settlement_when_it_is_asked() -> None:
    """An event at the gate does not line up for a slot at the moment when events are held back."""
    gate = Shut()
    gate.open = True

    def gates(queue: str, now: float, state: GateState) -> Go | Wait:
        answer = gate(queue, now, state)
        return may_begin(queue, now, state) if answer == GO else answer

    one = worker(gates)
    one.hand_out("d1")["d1"].faults.append(BrokerUnavailable("away"))
    await settle_down()
    gate.open = False
    one.hand_out("d2")
    await settle_down()
    gate.open = True
    await one.answer("d1")
    await settle_down()
    assert (one.begun, repr(one.slots)) == ({"d1"}, "<Slots 3 free, 0 leased, 0 in line>")
    await ended(one)


async def test_a_worker_with_a_limit_ends_when_all_have_passed_the_gate() -> None:
    """The worker does not end while an event waits at the gate."""
    gate = Shut(seconds=0.01)
    one = worker(gate, limit=2)
    one.hand_out("d1", "d2", "d3")
    await settle_down()
    assert not one.running.done()
    gate.open = True
    assert await asyncio.wait_for(one.running, PATIENCE) == "2 events were begun, as many as asked for"
    await settle_down()
    assert one.begun == {"d1", "d2"}
    await ended(one)


async def test_an_event_that_cannot_be_sent_is_a_dead_letter_and_takes_no_slot(at_work: Worker) -> None:
    """The letter names the parameter, and the slots stay free."""
    huge = FakeDelivery("huge", envelope=envelope(event=event(source="s" * 70_000)))
    at_work.broker.deliveries.put_nowait(huge)
    await settle_down()
    (letter,) = huge.verbs
    assert isinstance(letter, Letter)
    assert (letter.reason, letter.error.type) == ("rejected", "unsendable")
    assert letter.error.message.startswith("HTTP_CE_SOURCE takes ")
    assert (at_work.begun, repr(at_work.slots)) == (set(), "<Slots 3 free, 0 leased, 0 in line>")


async def test_a_pool_of_another_size_has_another_prefetch(at_work: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue's own slots limit its prefetch in a larger pool too."""
    await settle_down()
    assert at_work.broker.prefetch == {"default": 3, "reports": 1}
    monkeypatch.setattr(consumer, "LOOKED_EVERY", 0.001)
    pacing = asyncio.create_task(at_work.events.keep_pace())
    at_work.slots.size = 5
    async with asyncio.timeout(PATIENCE):
        while at_work.broker.prefetch != {"default": 5, "reports": 1}:
            await asyncio.sleep(0.001)
    pacing.cancel()


async def test_as_many_events_are_taken_at_once_as_may_wait() -> None:
    """Of a backlog, one event runs in each slot and as many wait in line. The others stay with the broker."""
    held = worker()
    names = [f"m{number}" for number in range(4 * SLOTS)]
    held.hand_out(*names)

    await settle_down()
    assert (held.events.taken, held.begun) == (2 * SLOTS, set(names[:SLOTS]))
    await held.answer(names[1])
    await settle_down()

    assert (held.events.taken, held.begun) == (2 * SLOTS + 1, set(names[: SLOTS + 1]))
    assert held.broker.deliveries.qsize() == 2 * SLOTS - 1
    await ended(held)


async def test_no_event_is_taken_beyond_the_limit() -> None:
    """The limit may be reached while more events could be taken at once."""
    held = worker(limit=SLOTS - 1)
    held.hand_out(*(f"m{number}" for number in range(2 * SLOTS)))

    reason = await held.running

    assert reason == "2 events were begun, as many as asked for"
    assert (held.events.taken, held.broker.deliveries.qsize()) == (2, 2 * SLOTS - 2)
    await ended(held)
