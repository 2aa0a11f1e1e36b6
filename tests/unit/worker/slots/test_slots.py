"""The slots of a pool and the requests in line for them: each state, with each thing that can happen in it."""

import asyncio

import pytest

from tests.limits import PATIENCE
from tests.unit.worker.doubles import DELIVERED, FakeSlot
from tests.unit.worker.requests import a_request
from worker.slots.slot import NotTaken, Run
from worker.slots.slots import NoSlotInTime, NoSlotToCome, Ran, Slots

TURNS = 10
"""Turns of the event loop after which nothing more happens by itself."""


def begin(slots: Slots, id: str = "e1") -> asyncio.Task[Ran]:
    """Begin the exchange of a request in a task."""
    return asyncio.create_task(slots.exchange(a_request(id=id), 30.0))


async def settle_down() -> None:
    """Let the event loop run until nothing more happens by itself."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def in_line(slots: Slots, *ids: str) -> list[asyncio.Task[Ran]]:
    """Begin the exchanges of requests, one after the other."""
    tasks = [begin(slots, id) for id in ids]
    await settle_down()
    return tasks


def sent(slot: FakeSlot) -> list[str]:
    """Return the ids of the requests that a slot was sent, in order."""
    return [request.id for request in slot.requests]


def opened(count: int, *, in_turn: bool = False, calls: int | None = None) -> tuple[Slots, list[FakeSlot]]:
    """Return the slots of a pool, `count` of them free."""
    slots, each = Slots(count, in_turn=in_turn, calls=calls), [FakeSlot() for _ in range(count)]
    for slot in each:
        slots.open(slot)
    return slots, each


async def test_a_slot_runs_one_request_at_a_time_and_the_line_keeps_its_order() -> None:
    """Each request gets its own exchange."""
    slots, (slot,) = opened(1)
    tasks = await in_line(slots, "e1", "e2", "e3")
    assert (sent(slot), repr(slots)) == (["e1"], "<Slots 0 free, 1 leased, 2 in line>")
    for task in tasks:
        await slot.answer(DELIVERED)
        assert (await task).exchange == DELIVERED
    assert (sent(slot), repr(slots)) == (["e1", "e2", "e3"], "<Slots 1 free, 0 leased, 0 in line>")


async def test_a_request_is_sent_before_its_caller_waits() -> None:
    """A free slot has the request at once, and not only after the caller's task has had its turn."""
    slots, (slot,) = opened(1)
    exchange = slots.exchange(a_request(id="e1"), 30.0)
    assert repr(slots) == "<Slots 0 free, 1 leased, 0 in line>"
    await settle_down()
    await slot.answer(DELIVERED)
    assert (await exchange).exchange == DELIVERED


async def test_the_next_request_is_sent_before_the_caller_has_the_last_ones_exchange() -> None:
    """A slot is idle for no longer than a turn of the loop, however long the settlement takes."""
    slots, (slot,) = opened(1)
    first, _second = await in_line(slots, "e1", "e2")
    order: list[str] = []
    first.add_done_callback(lambda _: order.append(f"e1 is over, {len(slot.requests)} sent"))
    await slot.answer(DELIVERED)
    await settle_down()
    assert order == ["e1 is over, 2 sent"]


async def test_the_seconds_are_those_in_the_slot() -> None:
    """The time in line does not count."""
    slots, (slot,) = opened(1)
    first, second = await in_line(slots, "e1", "e2")
    await asyncio.sleep(0.1)
    await slot.answer(DELIVERED)
    await slot.answer(DELIVERED)
    assert round((await first).seconds, 3) >= 0.1  # the clock of uvloop has whole milliseconds
    assert (await second).seconds < (await first).seconds


async def test_the_slot_that_was_used_last_is_next() -> None:
    """The memory of that slot is the warmest."""
    slots, (first, second) = opened(2)
    a, b = await in_line(slots, "a", "b")
    assert (sent(first), sent(second)) == (["b"], ["a"])
    await second.answer(DELIVERED)
    await first.answer(DELIVERED)
    await asyncio.gather(a, b)
    await in_line(slots, "c")
    assert sent(first) == ["b", "c"]


async def test_in_turn_the_slot_that_was_used_longest_ago_is_next() -> None:
    """Each of several servers has its share."""
    slots, (first, second) = opened(2, in_turn=True)
    for id, slot in (("a", first), ("b", second), ("c", first), ("d", second)):
        task = begin(slots, id)
        await slot.answer(DELIVERED)
        await task
    assert (sent(first), sent(second)) == (["a", "c"], ["b", "d"])


async def test_a_new_slot_takes_the_first_request_in_line() -> None:
    """No further request is needed for that."""
    slots, slot = Slots(1), FakeSlot()
    await in_line(slots, "e1", "e2")
    slots.open(slot)
    await settle_down()
    assert sent(slot) == ["e1"]


async def test_a_slot_that_breaks_in_its_exchange_is_removed() -> None:
    """The slot is not free afterwards."""
    slots, (slot,) = opened(1)
    await in_line(slots, "e1", "e2")
    slot.usable = False
    await slot.answer(DELIVERED)
    await settle_down()
    assert (sent(slot), len(slots), repr(slots)) == (["e1"], 0, "<Slots 0 free, 0 leased, 1 in line>")


async def test_a_free_slot_that_broke_gets_no_request() -> None:
    """The end of a child's connection is noticed before the end of its process."""
    slots, (well, broken) = opened(2)
    broken.usable = False
    assert len(slots) == 1
    await in_line(slots, "e1", "e2")
    assert (sent(well), sent(broken)) == (["e1"], [])


async def test_a_request_that_was_not_taken_is_first_in_line_again() -> None:
    """The request runs before later ones, and its bytes are not encoded again."""
    slots, (slot,) = opened(1)
    first, _second = await in_line(slots, "e1", "e2")
    slot.usable = False
    await slot.answer(NotTaken("refused"))
    await settle_down()
    other = FakeSlot()
    slots.open(other)
    await settle_down()
    assert sent(other) == ["e1"]
    assert other.requests[0] is slot.requests[0]
    await other.answer(DELIVERED)
    assert (await first).exchange == DELIVERED
    await settle_down()
    assert sent(other) == ["e1", "e2"]


async def test_a_leased_slot_that_is_condemned_finishes_and_gets_no_further_request() -> None:
    """A child was lost while a request ran in it. A second call changes nothing."""
    slots, (slot,) = opened(1)
    first, _second = await in_line(slots, "e1", "e2")
    slots.condemn(slot)
    slots.condemn(slot)
    assert len(slots) == 0
    await slot.answer(DELIVERED)
    assert (await first).exchange == DELIVERED
    await settle_down()
    assert (sent(slot), repr(slots)) == (["e1"], "<Slots 0 free, 0 leased, 1 in line>")


async def test_a_free_slot_that_is_condemned_gets_no_request() -> None:
    """A child was lost while it was idle. A second call changes nothing."""
    slots, (slot,) = opened(1)
    slots.condemn(slot)
    slots.condemn(slot)
    await in_line(slots, "e1")
    assert sent(slot) == []


async def test_a_slot_is_vacated_when_its_request_is_over() -> None:
    """The slot gets no further request. A free slot is vacant at once."""
    slots, (free, busy) = opened(2)
    await in_line(slots, "e1")
    await asyncio.wait_for(slots.vacate(free), PATIENCE)
    vacating = asyncio.create_task(slots.vacate(busy))
    waiting = begin(slots, "e2")
    await settle_down()
    assert not vacating.done()
    await busy.answer(DELIVERED)
    await asyncio.wait_for(vacating, PATIENCE)
    assert (sent(busy), sent(free), waiting.done()) == (["e1"], [], False)
    waiting.cancel()


async def test_a_slot_cannot_be_opened_twice() -> None:
    """Otherwise two requests would run in one child."""
    slots, (slot,) = opened(1)
    with pytest.raises(ValueError, match="in use already"):
        slots.open(slot)
    await in_line(slots, "e1")
    with pytest.raises(ValueError, match="in use already"):
        slots.open(slot)


async def test_no_request_starts_while_requests_are_held_back() -> None:
    """Running requests finish. Afterwards the line continues in its order."""
    slots, (slot,) = opened(1)
    first, _second, _third = await in_line(slots, "e1", "e2", "e3")
    slots.hold_back(hold=True)
    await slot.answer(DELIVERED)
    assert (await first).exchange == DELIVERED
    await settle_down()
    assert (sent(slot), repr(slots)) == (["e1"], "<Slots 1 free, 0 leased, 2 in line>")
    slots.hold_back(hold=False)
    await settle_down()
    assert sent(slot) == ["e1", "e2"]


async def test_a_pool_that_drains_finishes_running_requests_and_refuses_all_others() -> None:
    """Requests in line and new requests are refused."""
    slots, (slot,) = opened(1)
    running, waiting = await in_line(slots, "e1", "e2")
    slots.drain()
    with pytest.raises(NoSlotToCome):
        await waiting
    with pytest.raises(NoSlotToCome):
        await slots.exchange(a_request(), 30.0)
    await slot.answer(DELIVERED)
    assert (await running).exchange == DELIVERED


async def test_a_request_that_is_not_taken_while_the_pool_drains_has_no_slot_to_come() -> None:
    """The slot of the request is free again."""
    slots, (slot,) = opened(1)
    (running,) = await in_line(slots, "e1")
    slots.drain()
    await slot.answer(NotTaken("away"))
    with pytest.raises(NoSlotToCome):
        await running
    assert repr(slots) == "<Slots 1 free, 0 leased, 0 in line>"


async def test_a_request_that_is_cancelled_in_line_leaves_the_line() -> None:
    """The request after it is next."""
    slots, (slot,) = opened(1)
    first, second, _third = await in_line(slots, "e1", "e2", "e3")
    second.cancel()
    await settle_down()
    assert repr(slots) == "<Slots 0 free, 1 leased, 1 in line>"
    await slot.answer(DELIVERED)
    await first
    assert sent(slot) == ["e1", "e3"]


async def test_a_request_that_is_cancelled_just_before_a_slot_comes_gets_no_slot() -> None:
    """Both happen in one turn of the loop. The next request in line gets the slot."""
    slots, slot = Slots(1), FakeSlot()
    first, _second = await in_line(slots, "e1", "e2")
    first.cancel()
    slots.open(slot)
    await settle_down()
    assert (sent(slot), repr(slots)) == (["e2"], "<Slots 0 free, 1 leased, 0 in line>")


async def test_a_request_that_is_cancelled_just_after_it_got_a_slot_releases_the_slot() -> None:
    """The next request in line gets it."""
    slots, slot = Slots(1), FakeSlot()
    first, _second = await in_line(slots, "e1", "e2")
    slots.open(slot)
    first.cancel()
    await settle_down()
    assert (sent(slot)[-1], repr(slots)) == ("e2", "<Slots 0 free, 1 leased, 0 in line>")


async def test_a_request_that_is_cancelled_just_after_the_pool_drains_ends_as_cancelled() -> None:
    """Its task does not end with `NoSlotToCome`."""
    slots = Slots(1)
    (waiting,) = await in_line(slots, "e1")
    slots.drain()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_request_that_is_cancelled_in_its_slot_releases_the_slot() -> None:
    """A slot that is no longer usable is removed: an own child was killed."""
    slots, (slot,) = opened(1)
    running, _second = await in_line(slots, "e1", "e2")
    slot.usable = False
    running.cancel()
    await settle_down()
    assert repr(slots) == "<Slots 0 free, 0 leased, 1 in line>"


async def test_a_request_that_is_cancelled_in_its_slot_makes_the_slot_vacant() -> None:
    """Otherwise the pool would wait without limit for a child that is to leave."""
    slots, (slot,) = opened(1)
    (running,) = await in_line(slots, "e1")
    vacating = asyncio.create_task(slots.vacate(slot))
    await settle_down()
    running.cancel()
    await asyncio.wait_for(vacating, PATIENCE)


async def test_an_error_of_the_slot_ends_its_request_and_the_others_go_on() -> None:
    """The slot may have sent a part of the request, so it gives the request up."""
    slots, (slot,) = opened(1)
    first, bad, last = await in_line(slots, "e1", "bad", "e3")
    patch = pytest.MonkeyPatch()

    def fail_once(run: Run) -> None:
        patch.undo()
        raise MemoryError

    patch.setattr(slot, "begin", fail_once)
    await slot.answer(DELIVERED)
    assert (await first).exchange == DELIVERED
    with pytest.raises(MemoryError):
        await bad
    await slot.answer(DELIVERED)
    assert (await last).exchange == DELIVERED


async def test_the_room_in_line_can_be_awaited() -> None:
    """A request that gets a slot, or is cancelled, makes room."""
    slots, (slot,) = opened(1)
    _first, _second, third = await in_line(slots, "e1", "e2", "e3")
    room = asyncio.create_task(slots.room_in_line(0))
    await slot.answer(DELIVERED)
    await settle_down()
    assert not room.done()
    third.cancel()
    assert await asyncio.wait_for(room, PATIENCE) == 1


async def test_the_beginning_of_all_requests_can_be_awaited() -> None:
    """Those that run need not have ended."""
    slots, (slot,) = opened(1)
    await in_line(slots, "e1", "e2")
    begun = asyncio.create_task(slots.all_begun())
    await settle_down()
    assert not begun.done()
    await slot.answer(DELIVERED)
    await asyncio.wait_for(begun, PATIENCE)
    assert sent(slot) == ["e1", "e2"]


def called(slots: Slots, id: str, seconds: float = 30.0) -> asyncio.Task[Ran]:
    """Begin a call in a task."""
    until = asyncio.get_running_loop().time() + seconds
    return asyncio.create_task(slots.call(a_request(id=id), until))


@pytest.mark.parametrize(
    ("size", "calls", "expected"), [(1, None, 1), (2, None, 1), (8, None, 7), (8, 8, 8), (8, 0, 0)]
)
def test_the_slots_that_calls_may_fill(size: int, calls: int | None, expected: int) -> None:
    """All but one, at least one, unless the setting says otherwise."""
    assert Slots(size, calls=calls).for_calls == expected


async def test_a_call_goes_before_the_events_in_line() -> None:
    """Calls among themselves keep their order."""
    slots, (slot,) = opened(1)
    await in_line(slots, "e1", "e2")
    for id in ("c1", "c2"):
        called(slots, id)
    await settle_down()
    for _ in range(4):
        await slot.answer(DELIVERED)
        await settle_down()
    assert sent(slot) == ["e1", "c1", "e2", "c2"]


async def test_calls_leave_one_slot_to_events() -> None:
    """A call that waits does not fill the last slot, also if that slot is free."""
    slots, (first, second) = opened(2)
    for id in ("c1", "c2"):
        called(slots, id)
    await settle_down()
    assert sorted(sent(first) + sent(second)) == ["c1"]
    await in_line(slots, "e1")
    assert sorted(sent(first) + sent(second)) == ["c1", "e1"]


async def test_an_event_follows_a_call_that_filled_the_last_slot() -> None:
    """Where calls may fill all slots, events that wait get a slot after one call, however many calls wait."""
    slots, each = opened(2, calls=2)
    for number in range(6):
        called(slots, f"c{number}")
    await settle_down()
    await in_line(slots, "e1", "e2")
    await each[0].answer(DELIVERED)
    await settle_down()
    assert "e1" in sent(each[0])
    await each[1].answer(DELIVERED)
    await settle_down()
    assert not {"e1", "e2"} <= set(sent(each[0]) + sent(each[1]))


async def test_a_single_slot_runs_calls_and_events_in_turn() -> None:
    """Neither waits for longer than one of the other while both are in line."""
    slots, (slot,) = opened(1)
    for number in range(3):
        called(slots, f"c{number}")
    await settle_down()
    await in_line(slots, "e0", "e1", "e2")
    for _ in range(6):
        await slot.answer(DELIVERED)
        await settle_down()
    assert sent(slot) == ["c0", "e0", "c1", "e1", "c2", "e2"]


async def test_a_call_that_gets_no_slot_in_time_never_begins() -> None:
    """It leaves the line at its time, and the slot takes the next one."""
    slots, (slot,) = opened(1)
    await in_line(slots, "e1")
    late, next_one = called(slots, "late", 0.05), called(slots, "next")
    with pytest.raises(NoSlotInTime):
        await late
    await slot.answer(DELIVERED)
    await slot.answer(DELIVERED)
    assert (await next_one).exchange == DELIVERED
    assert sent(slot) == ["e1", "next"]


async def test_a_call_ends_with_the_time_of_its_caller() -> None:
    """The deadline of its exchange is what remains when it begins, and no more than that."""
    slots, (slot,) = opened(1)
    await in_line(slots, "e1")
    called(slots, "c1", 10.0)
    await asyncio.sleep(0.2)
    await slot.answer(DELIVERED)
    await settle_down()
    assert 5.0 < slot.deadlines[-1] <= 9.9  # uvloop's clock has whole milliseconds


async def test_a_line_that_is_too_long_is_shortened() -> None:
    """Events have become slow, so the newest ones go back to the broker, and perhaps to another worker."""
    slots, (slot,) = opened(1)
    slot.at_a_time = 4
    tasks = await in_line(slots, "e1", "e2", "e3", "e4", "e5")
    slots.shorten()
    await settle_down()
    assert [task.done() for task in tasks] == [False] * 5
    slot.at_a_time = 1
    slots.shorten()
    for task in tasks[2:]:
        with pytest.raises(NoSlotToCome):
            await task
    await slot.answer(DELIVERED)
    await tasks[0]
    assert sent(slot) == ["e1", "e2"]


async def test_calls_go_on_while_events_are_held_back() -> None:
    """A call has no settlement that the broker could fail to confirm."""
    slots, (slot,) = opened(1)
    slots.hold_back(hold=True)
    await in_line(slots, "e1")
    called(slots, "c1")
    await settle_down()
    assert sent(slot) == ["c1"]


async def test_a_call_in_line_gets_no_slot_while_the_worker_drains() -> None:
    """The calls in line end at once, and so does a new one."""
    slots, _ = opened(1)
    await in_line(slots, "e1")
    waiting = called(slots, "c1")
    await settle_down()
    slots.drain()
    for task in (waiting, called(slots, "c2")):
        with pytest.raises(NoSlotToCome):
            await task


async def test_a_call_that_a_slot_does_not_take_is_first_in_line_again() -> None:
    """Nothing ran, so it runs in the next slot, before the other calls."""
    slots, (slot,) = opened(1)
    for id in ("c1", "c2"):
        called(slots, id)
    await settle_down()
    await slot.answer(NotTaken("busy"))
    await settle_down()
    await slot.answer(DELIVERED)
    await settle_down()
    assert sent(slot) == ["c1", "c1", "c2"]
