"""Events that return to their queue, and deliveries that the worker must settle after failures and cancellations."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime

import pytest

from bridge.errors import BrokerUnavailable, DeliveryLost
from bridge.ledger import Letter
from bridge.moments import tell_nobody
from bridge.request import ReplayTarget
from bridge.retry_policy import from_table
from bridge.retry_table import DEFAULT
from bridge.settlement import Policies
from tests.limits import PATIENCE
from tests.unit.worker.doubles import DELIVERED, FakeBroker, FakeDelivery, FakeSlot
from worker.events import unrun
from worker.events.consumer import EventConsumer
from worker.events.replay import Replayer, Rules
from worker.slots.slots import Slots


class Blocking(FakeDelivery):
    """A delivery whose verb waits until `go` is set. `asked` is set when the verb is called."""

    def __init__(self, token: str = "m1", *, redelivered: bool = False) -> None:
        super().__init__(token, redelivered)
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def ack(self) -> None:
        await self._wait()
        await super().ack()

    async def give_back(self) -> None:
        await self._wait()
        await super().give_back()

    async def _wait(self) -> None:
        self.asked.set()
        await self.go.wait()


class Worker:
    """An event consumer with two slots. It fails internally after each exchange while `broken` is set."""

    def __init__(self) -> None:
        self.broken = False
        self.times: Iterator[datetime | None] = iter(())
        self.broker, self.slots, self.slot = FakeBroker(), Slots(2), [FakeSlot(), FakeSlot()]
        policy = from_table(DEFAULT, lambda: 0.5)
        rules = {"default": Rules(30.0, Policies(policy, policy))}
        replayer = Replayer(rules, ReplayTarget(), tell_nobody, now=self._now)
        self.events = EventConsumer(self.broker, self.slots, replayer)
        for slot in self.slot:
            self.slots.open(slot)
        self.taking = asyncio.create_task(self.events.run())

    def _now(self) -> datetime:
        later = next(self.times, None)
        if later is not None:
            return later
        if self.broken:
            raise RuntimeError("an internal error")
        return datetime(2030, 1, 1, tzinfo=UTC)

    async def run(self, delivery: FakeDelivery) -> FakeSlot:
        """Hand out a delivery, and return the slot that its request is sent to."""
        before = [len(slot.requests) for slot in self.slot]
        self.broker.deliveries.put_nowait(delivery)
        await until(lambda: [len(slot.requests) for slot in self.slot] != before)
        return next(slot for slot, count in zip(self.slot, before, strict=True) if len(slot.requests) > count)

    async def join(self, delivery: FakeDelivery) -> None:
        """Hand out a delivery, and wait until it is taken."""
        self.broker.deliveries.put_nowait(delivery)
        await until(self.broker.deliveries.empty)

    async def drain(self, grace: float) -> int:
        """Stop taking, and drain."""
        self.taking.cancel()
        await asyncio.wait((self.taking,))
        return await self.events.drain(grace)


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    """A worker that pauses for a moment only after an internal error."""
    monkeypatch.setattr(unrun, "GIVEN_BACK_AFTER", 0.01)
    worker = Worker()
    yield worker
    await worker.drain(0)


async def test_an_event_that_met_an_internal_error_returns_to_its_queue(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged with its traceback, and the worker goes on."""
    worker.broken, delivery = True, FakeDelivery()
    await (await worker.run(delivery)).answer(DELIVERED)
    await until(lambda: worker.events.running == 0)
    (record,) = caplog.records
    assert (delivery.verbs, record.levelname, record.exc_info is not None) == (["give_back"], "ERROR", True)


async def test_an_event_that_meets_an_internal_error_twice_is_a_dead_letter(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """The letter has the traceback. Another event, with its first error, returns to its queue."""
    worker.broken = True
    for token in ("m1", "m2"):
        await (await worker.run(FakeDelivery(token))).answer(DELIVERED)
        await until(lambda: worker.events.running == 0)
    now = iter([None, datetime(2030, 1, 1, tzinfo=UTC)])
    again = FakeDelivery("m1", redelivered=True)
    slot = await worker.run(again)
    worker.times = now

    await slot.answer(DELIVERED)

    await until(lambda: worker.events.running == 0)
    (letter,) = again.verbs
    assert isinstance(letter, Letter)
    assert (letter.reason, letter.error.type, letter.error.message) == (
        *("internal error", "RuntimeError", "an internal error"),
    )
    assert "in _now" in (letter.error.traceback or "")
    assert letter.envelope == again.envelope
    assert worker.events.finished == 1


async def test_an_event_that_cannot_even_be_a_dead_letter_returns_to_its_queue(worker: Worker) -> None:
    """An internal error while the letter is written is logged, and the worker goes on."""
    worker.broken = True
    first, again = FakeDelivery(), FakeDelivery(redelivered=True)
    for delivery in (first, again):
        await (await worker.run(delivery)).answer(DELIVERED)
        await until(lambda: worker.events.running == 0)

    assert (first.verbs, again.verbs) == (["give_back"], ["give_back"])


async def test_an_event_that_pauses_after_an_internal_error_returns_at_once_when_it_is_cut_off(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker drains, and another worker can run the event."""
    monkeypatch.setattr(unrun, "GIVEN_BACK_AFTER", 60.0)
    worker.broken, delivery = True, FakeDelivery()
    await (await worker.run(delivery)).answer(DELIVERED)
    await until(lambda: repr(worker.slots) == "<Slots 2 free, 0 leased, 0 in line>")
    assert await worker.drain(0.01) == 1
    assert delivery.verbs == ["give_back"]


async def test_giving_back_is_repeated_while_the_broker_is_unavailable(worker: Worker) -> None:
    """Otherwise the worker would hold the event, and its share of the prefetch, until the worker ends."""
    worker.broken, delivery = True, FakeDelivery(faults=[BrokerUnavailable("busy"), BrokerUnavailable("busy")])
    await (await worker.run(delivery)).answer(DELIVERED)
    await until(lambda: worker.events.running == 0)
    assert delivery.verbs == ["give_back"]


async def test_an_event_that_gets_no_slot_is_given_back_until_the_broker_takes_it(worker: Worker) -> None:
    """As when its queue is paused while the disk is full. Its row would stay with this worker, which never ran it."""
    for token in ("m1", "m2"):
        await worker.run(FakeDelivery(token))
    third = FakeDelivery("m3", faults=[BrokerUnavailable("full"), BrokerUnavailable("full")])
    await worker.join(third)
    await until(lambda: repr(worker.slots) == "<Slots 0 free, 2 leased, 1 in line>")

    worker.slots.recall(lambda each: True)

    await until(lambda: worker.events.running == 2)
    assert third.verbs == ["give_back"]


async def test_a_worker_that_drains_gives_such_an_event_back_once(worker: Worker) -> None:
    """The end of its connection returns the event, so it does not wait for a broker that is away."""
    slots = [await worker.run(FakeDelivery(token)) for token in ("m1", "m2")]
    third = FakeDelivery("m3", faults=[BrokerUnavailable("away")] * 1_000_000)
    await worker.join(third)
    await until(lambda: repr(worker.slots) == "<Slots 0 free, 2 leased, 1 in line>")
    draining = asyncio.create_task(worker.drain(10 * PATIENCE))
    await until(lambda: worker.events.running == 2)

    for slot in slots:
        await slot.answer(DELIVERED)

    async with asyncio.timeout(PATIENCE):
        assert await draining == 0
    assert (third.verbs, len(third.faults)) == ([], 999_999)


async def test_a_drain_does_not_wait_for_a_broker_that_takes_nothing_back(worker: Worker) -> None:
    """An event that is being given back is left to the end of the connection when the worker begins to drain."""
    slots = [await worker.run(FakeDelivery(token)) for token in ("m1", "m2")]
    third = FakeDelivery("m3", faults=[BrokerUnavailable("away")] * 1_000_000)
    await worker.join(third)
    await until(lambda: repr(worker.slots) == "<Slots 0 free, 2 leased, 1 in line>")
    worker.slots.recall(lambda each: True)
    await until(lambda: len(third.faults) < 999_999)
    draining = asyncio.create_task(worker.drain(10 * PATIENCE))

    for slot in slots:
        await slot.answer(DELIVERED)

    async with asyncio.timeout(PATIENCE):
        assert await draining == 0
    assert third.verbs == []


async def test_a_redelivery_does_not_join_a_run_that_is_over(worker: Worker) -> None:
    """The broker redelivers an event before it has confirmed that the event was given back."""
    worker.broken, first = True, Blocking()
    await (await worker.run(first)).answer(DELIVERED)
    await first.asked.wait()
    worker.broken, again = False, FakeDelivery(redelivered=True)
    slot = await worker.run(again)
    first.go.set()
    await slot.answer(DELIVERED)
    await until(lambda: worker.events.running == 0)
    assert (first.verbs, again.verbs) == (["give_back"], ["ack"])


async def test_all_deliveries_of_an_event_are_given_back(worker: Worker) -> None:
    """The broker may count both as held by this worker."""
    first, again = FakeDelivery(), FakeDelivery(redelivered=True)
    await worker.run(first)
    await worker.join(again)
    assert await worker.drain(0.01) == 1
    assert (first.verbs, again.verbs) == (["give_back"], ["give_back"])


async def test_a_settled_event_is_not_given_back_when_it_is_cut_off(worker: Worker) -> None:
    """The event is cut off while its other delivery is acknowledged. A delivery must not be settled twice."""
    first, again = Blocking(), FakeDelivery(redelivered=True)
    slot = await worker.run(first)
    await worker.join(again)
    await slot.answer(DELIVERED)
    await first.asked.wait()
    assert await worker.drain(0.01) == 1
    assert (first.verbs, again.verbs) == ([], ["ack"])


async def test_both_runs_of_a_message_that_was_delivered_twice_count(worker: Worker) -> None:
    """Both count as running, and neither delays a drain if its delivery is lost."""
    first, second = FakeDelivery(faults=[DeliveryLost("gone")]), FakeDelivery()
    slots = [await worker.run(first), await worker.run(second)]
    assert worker.events.running == 2
    for slot in slots:
        await slot.answer(DELIVERED)
    await until(lambda: second.verbs == ["ack"])
    async with asyncio.timeout(PATIENCE):
        assert await worker.drain(30) == 0


async def test_the_ack_of_a_redelivery_of_a_settled_event_is_repeated(worker: Worker) -> None:
    """The broker is unavailable at first. The worker takes the next event meanwhile."""
    await (await worker.run(FakeDelivery())).answer(DELIVERED)
    await until(lambda: worker.events.finished == 1)
    again = FakeDelivery(redelivered=True, faults=[BrokerUnavailable("busy")])
    await worker.join(again)
    next_one = FakeDelivery("m2")
    await (await worker.run(next_one)).answer(DELIVERED)
    await until(lambda: worker.events.running == 0)
    assert (again.verbs, next_one.verbs, worker.events.taken) == (["ack"], ["ack"], 2)
