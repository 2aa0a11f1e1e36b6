"""A slot that is an own child, with several requests in flight. The child is played by hand, so each point in which it
can end, hang or be slow is met exactly."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from bridge.child_protocol import Extend, Extended, Progress
from bridge.fastcgi import EncodedRequest
from bridge.moments import Moment, Progressed
from bridge.outcome import BrokenOff, OutOfTime, Reply
from tests.limits import PATIENCE
from tests.unit.worker.requests import a_request
from tests.unit.worker.slots.hand_child import HandChild, hand_child
from worker.slots import child_slot, ticks
from worker.slots.slots import NoSlotToCome, Ran, Slots


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recall nothing because of its time, unless a test is about that."""
    monkeypatch.setattr(child_slot, "RECALLED_AFTER", 3600.0)


@pytest.fixture
async def slots() -> Slots:
    """Return the slots of a pool of one child."""
    return Slots(1)


@pytest.fixture
async def child(slots: Slots) -> AsyncIterator[HandChild]:
    """Yield the child of the only slot."""
    async with hand_child(slots) as child:
        yield child


def send(slots: Slots, *ids: str, deadline: float = 600.0) -> list[asyncio.Task[Ran]]:
    """Line up events."""
    return [asyncio.create_task(slots.exchange(a_request(id=id), deadline)) for id in ids]


async def turn() -> None:
    """Let the loop run until nothing more happens by itself."""
    for _ in range(10):
        await asyncio.sleep(0)


async def ended(task: asyncio.Task[Ran]) -> Ran:
    """Wait for the end of an event."""
    return await asyncio.wait_for(task, PATIENCE)


async def test_requests_in_flight_are_answered_in_order(slots: Slots, child: HandChild) -> None:
    """Each gets its own reply, however many come in one piece."""
    tasks = send(slots, "e1", "e2", "e3")
    await turn()
    for number in (1, 2, 3):
        assert child.take_token() == number
        child.reply(number, errors=b"of %d" % number)
    for number, task in enumerate(tasks, 1):
        exchange = (await ended(task)).exchange
        assert isinstance(exchange, Reply)
        assert exchange.error_output == b"of %d" % number
    assert child.told == ["served"] * 3


async def test_replies_of_a_child_that_has_enough_to_do_are_read_together(
    monkeypatch: pytest.MonkeyPatch, slots: Slots, child: HandChild
) -> None:
    """They do not wake the worker one by one. Those of a child with few requests do."""
    tick = 0.2
    monkeypatch.setattr(ticks.Ticks, "_tick", lambda self: tick if self._work() else None)
    tasks = send(slots, *(f"e{number}" for number in range(8)))
    await turn()
    began = asyncio.get_running_loop().time()
    child.reply(1, 2)
    child.reply(3, 4, 5, 6)
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert [task.done() for task in tasks] == [True] * 6 + [False] * 2
    assert asyncio.get_running_loop().time() - began >= tick * 0.9

    await asyncio.sleep(tick * 1.5)  # it has found then that two are few
    began = asyncio.get_running_loop().time()
    child.reply(7)
    await ended(tasks[6])
    assert asyncio.get_running_loop().time() - began < tick * 0.9


async def test_a_reply_in_pieces_is_one_reply(slots: Slots, child: HandChild) -> None:
    """Also if the pieces are bytes, and if the last piece has the beginning of the next reply."""
    tasks = send(slots, "e1", "e2")
    await turn()
    numbers = child.take_token(), child.take_token()
    for byte in child.replies(*numbers):
        child.theirs.sendall(bytes([byte]))
        await asyncio.sleep(0)
    for task in tasks:
        assert isinstance((await ended(task)).exchange, Reply)


async def test_an_end_charges_the_one_that_has_begun(slots: Slots, child: HandChild) -> None:
    """Those behind it go elsewhere, at once and in their order."""
    tasks = send(slots, "e1", "e2", "e3", "e4")
    await turn()
    child.take_token()
    child.leave()
    broken = (await ended(tasks[0])).exchange
    assert isinstance(broken, BrokenOff)
    assert broken.why.startswith("the process was ended by SIGKILL; ")
    async with hand_child(slots) as other:
        await turn()
        for task in tasks[1:]:
            assert not task.done()
            other.reply(other.take_token())
            assert isinstance((await ended(task)).exchange, Reply)
    assert "cut off" in child.told


async def test_an_end_between_two_events_charges_none(slots: Slots, child: HandChild) -> None:
    """The first has its whole reply, and no other has begun."""
    first, second = send(slots, "e1", "e2")
    await turn()
    child.reply(child.take_token())
    child.leave()
    assert isinstance((await ended(first)).exchange, Reply)
    async with hand_child(slots) as other:
        await turn()
        other.reply(other.take_token())
        assert isinstance((await ended(second)).exchange, Reply)


async def test_a_reply_that_was_not_read_before_the_end_counts(slots: Slots, child: HandChild) -> None:
    """Also if the worker sends a further request between the end and its notice."""
    first, second = send(slots, "e1", "e2")
    await turn()
    child.reply(child.take_token())
    child.take_token()
    child.leave()
    (third,) = send(slots, "e3")
    assert isinstance((await ended(first)).exchange, Reply)
    assert isinstance((await ended(second)).exchange, BrokenOff)
    await turn()
    assert not third.done()
    async with hand_child(slots) as other:
        await turn()
        other.reply(other.take_token())
        assert isinstance((await ended(third)).exchange, Reply)


async def test_a_child_that_ends_before_it_takes_a_token_charges_nobody(slots: Slots, child: HandChild) -> None:
    """The first request is in its socket, and it was killed before it looked."""
    (task,) = send(slots, "e1")
    await turn()
    child.leave()
    async with hand_child(slots) as other:
        await turn()
        other.reply(other.take_token())
        assert isinstance((await ended(task)).exchange, Reply)


async def test_a_child_that_takes_no_more_finishes_what_runs(slots: Slots, child: HandChild) -> None:
    """It was sent SIGTERM by somebody. What it has not begun goes elsewhere, also what is sent before its end."""
    first, second = send(slots, "e1", "e2")
    await turn()
    number = child.take_token()
    child.take_no_more_tokens()
    (third,) = send(slots, "e3")
    await turn()
    async with hand_child(slots) as other:
        for task in (second, third):
            await turn()
            other.reply(other.take_token())
            assert isinstance((await ended(task)).exchange, Reply)
        assert not first.done()
        child.reply(number)
        child.leave()
        assert isinstance((await ended(first)).exchange, Reply)


async def test_the_time_runs_out_for_the_one_that_runs(slots: Slots, child: HandChild) -> None:
    """Its child is ended, with its stacks in the transcript; those behind it go elsewhere."""
    first, second = send(slots, "e1", "e2", deadline=0.2)
    await turn()
    child.take_token()
    exchange = (await ended(first)).exchange
    assert isinstance(exchange, OutOfTime)
    assert (exchange.deadline, exchange.error_output) == (0.2, b"its stacks")
    assert child.told == ["timed out after 0.2 s", "destroyed"]
    async with hand_child(slots) as other:
        await turn()
        other.reply(other.take_token())
        assert isinstance((await ended(second)).exchange, Reply)


async def test_a_deadline_counts_from_the_own_beginning(slots: Slots, child: HandChild) -> None:
    """The second one begins when the first one has its reply, and has all its time then."""
    (first,) = send(slots, "e1", deadline=600.0)
    (second,) = send(slots, "e2", deadline=0.3)
    await turn()
    number = child.take_token()
    await asyncio.sleep(0.6)
    assert not second.done()
    child.reply(number)
    await ended(first)
    child.take_token()
    ran = await ended(second)
    assert isinstance(ran.exchange, OutOfTime)
    assert round(ran.seconds, 3) >= 0.3  # the clock of uvloop has whole milliseconds


async def test_what_a_hanging_child_has_not_begun_is_not_out_of_time(slots: Slots, child: HandChild) -> None:
    """The child hangs outside of any event, as in an idle function. It is ended, and the event goes elsewhere."""
    (task,) = send(slots, "e1", deadline=0.2)
    async with asyncio.timeout(PATIENCE):
        while "destroyed" not in child.told:
            await asyncio.sleep(0.01)
    assert child.told == ["did not begin an event within 0.2 s", "destroyed"]
    async with hand_child(slots) as other:
        await turn()
        other.reply(other.take_token())
        assert isinstance((await ended(task)).exchange, Reply)


async def test_what_waits_behind_a_slow_one_goes_to_a_free_child(
    slots: Slots, child: HandChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recalled, and begins there. Its token is gone for the first child."""
    monkeypatch.setattr(child_slot, "RECALLED_AFTER", 0.005)
    first, second, third = send(slots, "e1", "e2", "e3")
    await turn()
    number = child.take_token()
    async with hand_child(slots) as other:
        for task in (second, third):
            await asyncio.wait_for(other.has_token(), PATIENCE)
            other.reply(other.take_token())
            assert isinstance((await ended(task)).exchange, Reply)
        assert not child.tokens_left()
        child.reply(number)
        assert isinstance((await ended(first)).exchange, Reply)


@pytest.mark.parametrize(
    ("runnable", "cpu", "slow"),
    [
        pytest.param(False, 0.0, 1, id="it sleeps"),
        pytest.param(True, 0.004, 1, id="it computes"),
        pytest.param(True, 0.0, 0, id="it waits for a CPU"),
    ],
)
async def test_an_event_that_waits_for_a_cpu_is_not_slow(
    slots: Slots, child: HandChild, monkeypatch: pytest.MonkeyPatch, runnable: bool, cpu: float, slow: int
) -> None:
    """The events behind it go elsewhere. The next events are sent ahead as before."""
    monkeypatch.setattr(child_slot, "RECALLED_AFTER", 0.005)
    first, second = send(slots, "e1", "e2")
    child.runnable, child.cpu = runnable, cpu
    await turn()
    number = child.take_token()
    async with hand_child(slots) as other:
        await asyncio.wait_for(other.has_token(), PATIENCE)
        other.reply(other.take_token())
        await ended(second)
    assert child.depth.slow == slow
    child.reply(number)
    await ended(first)


async def test_nothing_waits_behind_an_event_that_takes_long(
    slots: Slots, child: HandChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recalled events stay in line, although the depth has room for them. The child has them all after the end."""
    monkeypatch.setattr(child_slot, "RECALLED_AFTER", 0.005)
    child.runnable = True
    first, *others = send(slots, "e1", "e2", "e3")
    await turn()
    number = child.take_token()
    async with asyncio.timeout(PATIENCE):
        while child.tokens_left():
            await asyncio.sleep(0.001)
    for _ in range(3):
        await turn()  # nothing is sent again
    assert "2 in line" in repr(slots)
    child.reply(number)
    await ended(first)
    for task in others:
        child.reply(child.take_token())
        await ended(task)


async def test_a_child_continues_after_a_recall(slots: Slots, child: HandChild) -> None:
    """It skips the requests whose tokens are gone, and begins the one that its next token names."""
    first, second = send(slots, "e1", "e2")
    await turn()
    number = child.take_token()
    slots.recall(lambda request: request.id == "e2")
    with pytest.raises(NoSlotToCome):
        await ended(second)
    child.reply(number)
    await ended(first)
    (third,) = send(slots, "e3")
    await turn()
    assert child.take_token() == 3
    child.reply(3)
    assert isinstance((await ended(third)).exchange, Reply)


async def test_a_recall_by_what_they_are_keeps_the_order_of_the_others(slots: Slots, child: HandChild) -> None:
    """Those that may not begin end; the others are first in line again, and the one that has begun runs on."""
    tasks = send(slots, "e1", "e2", "e3", "e4")
    await turn()
    child.reply(child.take_token())
    number = child.take_token()
    await ended(tasks[0])
    slots.recall(lambda request: request.id in ("e2", "e3"))
    with pytest.raises(NoSlotToCome):
        await ended(tasks[2])
    assert not tasks[1].done()
    child.reply(number)
    assert isinstance((await ended(tasks[1])).exchange, Reply)
    await turn()
    child.reply(child.take_token())
    assert isinstance((await ended(tasks[3])).exchange, Reply)


async def test_nothing_begins_while_requests_are_held_back(slots: Slots, child: HandChild) -> None:
    """What was sent and has not begun is taken back, and sent again afterwards."""
    first, second = send(slots, "e1", "e2")
    await turn()
    number = child.take_token()
    slots.hold_back(hold=True)
    await turn()
    assert not child.tokens_left()
    child.reply(number)
    await ended(first)
    await turn()
    assert not child.tokens_left()
    slots.hold_back(hold=False)
    await turn()
    child.reply(child.take_token())
    assert isinstance((await ended(second)).exchange, Reply)


async def test_a_pool_that_drains_lets_only_what_runs_end(slots: Slots, child: HandChild) -> None:
    """The others return to their queue."""
    first, second = send(slots, "e1", "e2")
    await turn()
    number = child.take_token()
    slots.drain()
    with pytest.raises(NoSlotToCome):
        await ended(second)
    child.reply(number)
    assert isinstance((await ended(first)).exchange, Reply)
    assert not child.tokens_left()


async def test_a_slot_is_vacant_when_what_runs_has_ended(slots: Slots, child: HandChild) -> None:
    """A child that is replaced waits for nothing that has not begun."""
    first, second = send(slots, "e1", "e2")
    await turn()
    number = child.take_token()
    (slot,) = slots._leased
    vacating = asyncio.create_task(slots.vacate(slot))
    await turn()
    assert not child.tokens_left()
    assert not vacating.done()
    child.reply(number)
    await asyncio.wait_for(vacating, PATIENCE)
    assert first.done()
    assert not second.done()
    second.cancel()


async def test_the_beginning_of_what_waits_in_a_child_can_be_awaited(slots: Slots, child: HandChild) -> None:
    """A worker that runs a number of events ends when the last one has begun, not when it was sent."""
    first, second = send(slots, "e1", "e2")
    await turn()
    number = child.take_token()
    begun = asyncio.create_task(slots.all_begun())
    await turn()
    assert not begun.done()
    child.reply(number)
    await ended(first)
    await asyncio.wait_for(begun, PATIENCE)
    child.reply(child.take_token())
    assert isinstance((await ended(second)).exchange, Reply)


async def test_a_waiting_run_that_is_cancelled_never_begins(slots: Slots, child: HandChild) -> None:
    """The others go on."""
    tasks = send(slots, "e1", "e2", "e3")
    await turn()
    number = child.take_token()
    tasks[1].cancel()
    await turn()
    child.reply(number)
    await ended(tasks[0])
    await turn()
    assert child.take_token() == 4
    child.reply(4)
    assert isinstance((await ended(tasks[2])).exchange, Reply)
    assert "killed" not in child.told


async def test_a_run_that_is_cancelled_ends_with_its_child(slots: Slots, child: HandChild) -> None:
    """The one behind it goes elsewhere."""
    first, second = send(slots, "e1", "e2")
    await turn()
    child.take_token()
    first.cancel()
    await turn()
    assert "killed" in child.told
    async with hand_child(slots) as other:
        await turn()
        other.reply(other.take_token())
        assert isinstance((await ended(second)).exchange, Reply)


async def test_only_the_event_that_runs_is_interrupted(slots: Slots, child: HandChild) -> None:
    """Also if its reply is on its way: then it is over, and nothing is ended."""
    tasks = send(slots, "e1", "e2", "e3")
    await turn()
    child.reply(child.take_token())
    child.take_token()
    slots.interrupt({"e1"})
    assert isinstance((await ended(tasks[0])).exchange, Reply)
    assert "destroyed" not in child.told
    slots.interrupt({"e2"})
    assert isinstance((await ended(tasks[1])).exchange, OutOfTime)
    assert child.told[-2:] == ["ends with its cancelled event", "destroyed"]
    async with hand_child(slots) as other:
        await turn()
        other.reply(other.take_token())
        assert isinstance((await ended(tasks[2])).exchange, Reply)


async def test_a_call_begins_when_it_is_sent(slots: Slots, child: HandChild) -> None:
    """It is next in the child: the events that wait there make way for it, and nothing waits behind it."""
    tasks = send(slots, "e1", "e2")
    await turn()
    number = child.take_token()
    until = asyncio.get_running_loop().time() + PATIENCE
    call = asyncio.create_task(slots.call(a_request(id="c1"), until))
    await turn()
    assert not child.tokens_left()
    child.reply(number)
    await ended(tasks[0])
    number = child.take_token()
    await turn()
    assert not child.tokens_left()
    child.reply(number)
    assert isinstance((await ended(call)).exchange, Reply)
    child.reply(child.take_token())
    assert isinstance((await ended(tasks[1])).exchange, Reply)


async def test_what_has_to_begin_at_once_waits_for_an_idle_child(slots: Slots, child: HandChild) -> None:
    """An event that may expire is checked when it is sent, so it must not wait in the child."""
    (first,) = send(slots, "e1")
    asked: list[str] = []
    second = asyncio.create_task(
        slots.exchange(a_request(id="e2")._replace(at_once=True), 600.0, lambda: asked.append("begun"))
    )
    await turn()
    number = child.take_token()
    assert not child.tokens_left()
    assert asked == []
    child.reply(number)
    await ended(first)
    assert asked == ["begun"]
    child.reply(child.take_token())
    assert isinstance((await ended(second)).exchange, Reply)


async def test_each_hand_over_is_told(slots: Slots, child: HandChild) -> None:
    """A run that was recalled begins again, and may be refused then."""
    asked: list[str] = []

    def begun() -> None:
        asked.append("begun")
        if len(asked) == 2:
            raise LookupError

    (first,) = send(slots, "e1")
    second = asyncio.create_task(slots.exchange(a_request(id="e2"), 600.0, begun))
    await turn()
    number = child.take_token()
    slots.hold_back(hold=True)
    slots.hold_back(hold=False)
    with pytest.raises(LookupError):
        await asyncio.wait_for(second, PATIENCE)
    child.reply(number)
    await ended(first)


async def test_nothing_follows_what_the_child_does_not_read(slots: Slots, child: HandChild) -> None:
    """Large requests wait in line, and not in the memory of the connection. They are sent when the child reads."""
    large = EncodedRequest(a_request().encoded.params, bytes(1 << 20))
    tasks = [
        asyncio.create_task(slots.exchange(a_request(id=f"e{number}")._replace(encoded=large), 600.0))
        for number in range(4)
    ]
    await turn()
    assert "2 in line" in repr(slots) or "3 in line" in repr(slots)
    for task in tasks:
        await asyncio.wait_for(child.has_token(), PATIENCE)
        number = child.take_token()
        await child.read_all()
        child.reply(number)
        assert isinstance((await ended(task)).exchange, Reply)


async def test_a_reply_without_a_token_counts(slots: Slots, child: HandChild) -> None:
    """The app can write to all descriptors of its process. The worker goes on."""
    first, second = send(slots, "e1", "e2")
    await turn()
    child.reply(1)
    assert isinstance((await ended(first)).exchange, Reply)

    child.leave()
    child.on_end()

    await turn()
    assert not second.done()
    assert "1 in line" in repr(slots)
    second.cancel()


async def test_a_child_that_breaks_the_protocol_is_replaced(slots: Slots, child: HandChild) -> None:
    """Whatever it has begun is charged, because its replies cannot be read any more."""
    first, second = send(slots, "e1", "e2")
    await turn()
    child.take_token()
    child.theirs.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    broken = (await ended(first)).exchange
    assert isinstance(broken, BrokenOff)
    assert "version" in broken.why
    async with hand_child(slots) as other:
        await turn()
        other.reply(other.take_token())
        assert isinstance((await ended(second)).exchange, Reply)


async def test_what_is_printed_belongs_to_the_event_that_prints(
    slots: Slots, child: HandChild, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with the event and is in its transcript, and not in that of the next one."""
    caplog.set_level(logging.INFO, "bridge")
    tasks = send(slots, "e1", "e2", "e3")
    await turn()
    for number in (1, 2, 3):
        child.take_token()
        assert child.marked is (number > 1)
        child.print(b"by %d\nits end" % number, mark=number if child.marked else None)
        child.reply(number, errors=b"from the app")
    outputs = [(await ended(task)).exchange for task in tasks]
    child.print(b"idle\n")
    async with asyncio.timeout(PATIENCE):
        while "idle" not in caplog.text:
            await asyncio.sleep(0.001)
    for number, exchange in enumerate(outputs, 1):
        assert isinstance(exchange, Reply)
        assert exchange.error_output.startswith(b"by %d\n" % number)
        assert exchange.error_output.endswith(b"from the app")
    logged = [(record.getMessage(), vars(record).get("id")) for record in caplog.records]
    assert [each for each in logged if each[0].startswith("by")] == [("by 1", "e1"), ("by 2", "e2"), ("by 3", "e3")]
    assert [id for text, id in logged if text == "from the app"] == ["e1", "e2", "e3"]
    assert logged[-1] == ("its endidle", None)


async def test_news_count_for_the_event_that_runs_only(slots: Slots) -> None:
    """Progress of it is kept and told, printable. That of another event is dropped, and its request for time denied."""
    moments: list[Moment] = []
    async with hand_child(slots, moments=moments) as child:
        request = a_request(id="e1")._replace(deadline_at_most=60.0)
        first = asyncio.create_task(slots.exchange(request, 5.0))
        (second,) = send(slots, "e2")
        await turn()
        child.take_token()
        (slot,) = slots._leased
        assert isinstance(slot, child_slot.ChildSlot)
        for news in (
            Progress("e1", 3, 10, "re\x1bsizing"),
            Progress("e0", 9, 9, "of before"),
            Progress("e2", 1, 2, "it has not begun"),
            Extend("e1", 1, 30.0),
            Extend("e1", 2, 300.0),
            Extend("e0", 3, 30.0),
        ):
            child.news.on_news(news)
        assert slot.first is not None
        assert slot.first.progress is not None
        assert "\x1b" not in slot.first.progress.note
        assert 55.0 < slot.first.deadline <= 60.0
        child.reply(1)
        child.take_token()
        child.news.on_news(Progress("e2", 1, 2, "the reply before it is on its way"))
        await ended(first)
        child.news.on_news(Extend("e1", 4, 30.0))
        child.reply(2)
        await ended(second)
    told = [moment for moment in moments if isinstance(moment, Progressed)]
    assert [(moment.id, moment.done, moment.total) for moment in told] == [("e1", 3, 10), ("e2", 1, 2)]
    assert child.news.answers == [Extended(1, True), Extended(2, False), Extended(3, False), Extended(4, False)]
