"""Calls in a worker: each question that is taken gets one answer, and nothing begins after its time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from bridge.brokers.contract.calling import HeldCall
from bridge.call import Answer, AnswerKind, Question
from bridge.event import Event
from bridge.outcome import Reply
from bridge.request import ReplayTarget
from bridge.trust import Trust
from tests.events import new_event
from tests.limits import PATIENCE
from tests.unit.worker.doubles import FakeSlot
from worker.events.calls import CallRunner, CallService
from worker.slots.slots import Slots

ANSWER = Reply(200, {"bridge-outcome": "delivered", "bridge-answer": "text/plain"}, b"yes")


@dataclass(eq=False)
class FakeCall:
    """A question that a test asks."""

    question: Question
    queue: str = "mail"
    may_have_run: bool = False
    answers: list[Answer] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.answered.set()


class FakeServer:
    """A server with the questions of a test."""

    trouble = ""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[FakeCall] = asyncio.Queue()
        self.most = 0

    async def start(self, queues: object, most: int) -> None:
        self.most = most

    async def adjust(self, most: int) -> None:
        self.most = most

    async def receive(self) -> FakeCall:
        return await self.calls.get()

    async def stop(self) -> list[HeldCall]:
        return [self.calls.get_nowait() for _ in range(self.calls.qsize())]

    async def close(self) -> None:
        """Do nothing."""


def asked(timeout: float = 30.0, data: bytes = b"{}", *, may_have_run: bool = False) -> FakeCall:
    """Return a call that was made just now."""
    return FakeCall(Question(new_event("str.reverse", data), timeout), may_have_run=may_have_run)


def service(slots: Slots, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> tuple[CallService, FakeServer]:
    """Return a service of these slots, and its server."""
    server = FakeServer()
    return CallService(server, CallRunner(slots, ReplayTarget(), Trust.RECEIVER, 100, now)), server


async def answer_to(call: FakeCall, calls: CallService, server: FakeServer) -> Answer:
    """Run the service until the call is answered, and return the only answer."""
    running = asyncio.create_task(calls.run())
    server.calls.put_nowait(call)
    async with asyncio.timeout(PATIENCE):
        await call.answered.wait()
    running.cancel()
    (answer,) = call.answers
    return answer


async def test_a_question_is_run_and_answered() -> None:
    """The body of the reply is the answer."""
    slots, slot = Slots(1), FakeSlot()
    slots.open(slot)
    calls, server = service(slots)
    replying = asyncio.create_task(slot.answer(ANSWER))

    answer = await answer_to(asked(), calls, server)

    await replying
    assert (answer.kind, answer.data) == (AnswerKind.ANSWERED, b"yes")
    assert slot.requests[0].room > 100


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: asked(may_have_run=True), AnswerKind.LOST),
        (lambda: asked(data=b"x" * 101), AnswerKind.FAILED),
        (lambda: FakeCall(_late()), AnswerKind.LATE),
    ],
    ids=["taken by a lost worker", "too large", "late"],
)
async def test_what_is_not_run(call: Callable[[], FakeCall], kind: AnswerKind) -> None:
    """Its caller is told why, and no slot is taken."""
    slots, slot = Slots(1), FakeSlot()
    slots.open(slot)
    calls, server = service(slots)

    assert (await answer_to(call(), calls, server)).kind is kind
    assert slot.requests == []


async def test_no_slot_in_time() -> None:
    """A call whose time is over while it waits for a slot does not begin."""
    calls, server = service(Slots(1))

    answer = await answer_to(asked(0.05), calls, server)

    assert answer.kind is AnswerKind.LATE
    assert "all slots for calls were busy" in answer.why


async def test_a_worker_that_drains() -> None:
    """What has not begun can be asked again. What runs is awaited for the grace, and then its caller is told."""
    slots, slot = Slots(1), FakeSlot()
    slots.open(slot)
    calls, server = service(slots)
    running = asyncio.create_task(calls.run())
    first, second, third = asked(), asked(), asked()
    for call in (first, second):
        server.calls.put_nowait(call)
    while not slot.requests:
        await asyncio.sleep(0)
    running.cancel()
    server.calls.put_nowait(third)
    await calls.stop()
    slots.drain()

    await calls.drain(0.05)

    assert [[answer.kind for answer in call.answers] for call in (first, second, third)] == [
        [AnswerKind.LOST],
        [AnswerKind.NOT_BEGUN],
        [AnswerKind.NOT_BEGUN],
    ]


@pytest.mark.parametrize(("calls", "most"), [(None, 3), (1, 1), (0, 0)])
async def test_how_many_questions_are_held(calls: int | None, most: int) -> None:
    """As many as calls may fill slots; without such slots, none is taken."""
    serving, server = service(Slots(4, calls=calls))
    await serving.start(["mail"])
    assert server.most == most


def _late() -> Question:
    event = new_event("str.reverse", b"{}")
    made = event.time - timedelta(seconds=3)
    return Question(Event(event.id, event.name, event.source, made, event.content_type, event.data), 2.0)
