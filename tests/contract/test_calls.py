"""Calls: a question reaches one worker, and its answer comes back, or the reason why there is none."""

import asyncio
import time
from contextlib import suppress

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.calling import HeldCall
from bridge.call import Answer, AnswerKind, unanswered
from bridge.deadline import Deadline
from bridge.errors import CallLost, CallTimedOut, NobodyServes
from bridge.queues import Queue
from tests.contract.calling import MAIL, ask, question, repeated, serving
from tests.contract.conftest import OpenBroker
from tests.limits import PATIENCE


@pytest.fixture
async def brokers(another_broker: OpenBroker) -> list[Broker]:
    """The brokers of three processes, with everything declared."""
    brokers = [another_broker() for _ in range(3)]
    await brokers[0].declare([Queue("mail"), Queue("default")])
    return brokers


async def test_the_answer_comes_back(brokers: list[Broker]) -> None:
    """The answer, with its type, goes to the process that asked, whichever that is."""
    worker, web, own = brokers
    async with serving(worker, "mail"):
        assert await ask(web, question(b"ada\n")) == Answer(AnswerKind.ANSWERED, b"ada\n", "text/plain")
        assert (await ask(own, question(b""))).data == b""
        assert (await ask(worker, question(b"own"))).data == b"own"


async def test_a_large_question_has_a_large_answer(brokers: list[Broker]) -> None:
    """1 MiB there and back, whatever the bytes."""
    data = bytes(range(256)) * 4096
    async with serving(brokers[0], "mail"):
        assert (await ask(brokers[1], question(data))).data == data


async def test_more_slots_than_the_broker_can_count(brokers: list[Broker]) -> None:
    """Such a server answers, from the start and after a change."""
    async with serving(brokers[0], "mail", most=70_000) as server:
        assert (await ask(brokers[1], question(b"ada"))).data == b"ada"
        await server.adjust(140_000)
        assert (await ask(brokers[1], question(b"bob"))).data == b"bob"


async def test_nobody_serves(brokers: list[Broker]) -> None:
    """The caller hears at once that no worker serves the queues, before any worker and after the last one."""
    caller = brokers[1].caller()
    deadline = Deadline.after(PATIENCE, time.monotonic())
    for _ in range(2):
        with pytest.raises(NobodyServes, match=r"'mail\.sent'.*mail or default"):
            await caller.ask(question(), ["mail", "default"], deadline)
        async with serving(brokers[0], "mail"):
            assert (await caller.ask(question(), ["mail"], deadline)).kind is AnswerKind.ANSWERED
    with pytest.raises(NobodyServes):
        await caller.ask(question(), [], deadline)


async def test_nobody_is_named_within_50_ms(brokers: list[Broker]) -> None:
    """The best of ten, because the machine of the tests may be busy."""
    caller = brokers[1].caller()
    seconds = []
    for _ in range(10):
        began = time.monotonic()
        with pytest.raises(NobodyServes):
            await caller.ask(question(), ["mail", "default"], Deadline.after(PATIENCE, began))
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.05


async def test_a_worker_is_found_once_it_has_started(brokers: list[Broker]) -> None:
    """Its first caller, which has been connected for long, need not ask again."""
    caller = brokers[1].caller()
    deadline = Deadline.after(PATIENCE, time.monotonic())
    with pytest.raises(NobodyServes):
        await caller.ask(question(), MAIL, deadline)
    async with serving(brokers[0], "mail"):
        assert (await caller.ask(question(), MAIL, deadline)).kind is AnswerKind.ANSWERED
    await caller.close()


async def test_the_first_queue_that_is_served_gets_it(brokers: list[Broker]) -> None:
    """One worker gets the question, from one queue, also if it serves several of them."""
    queues: list[str] = []

    def note(call: HeldCall) -> Answer:
        queues.append(call.queue)
        return repeated(call)

    async with serving(brokers[0], "default", "mail", respond=note):
        await ask(brokers[1], question(), ["mail", "default"])
        await ask(brokers[1], question(), ["other", "default", "mail"])
    assert queues == ["mail", "default"]


async def test_each_question_reaches_one_worker(brokers: list[Broker]) -> None:
    """Two workers share a queue's questions, and every caller gets the answer to its own one."""
    received: list[bytes] = []

    def note(call: HeldCall) -> Answer:
        received.append(call.question.event.data)
        return repeated(call)

    asked = [b"%d" % number for number in range(100)]
    caller = brokers[2].caller()
    deadline = Deadline.after(PATIENCE, time.monotonic())
    async with serving(brokers[0], "mail", respond=note), serving(brokers[1], "mail", respond=note):
        received.clear()
        answers = await asyncio.gather(*(caller.ask(question(data), MAIL, deadline) for data in asked))
    assert [answer.data for answer in answers] == asked
    assert sorted(received) == sorted(asked)


async def test_a_worker_holds_no_more_than_it_may(brokers: list[Broker]) -> None:
    """The others wait at the broker, where another worker could take them."""
    caller = brokers[1].caller()
    async with serving(brokers[0], "mail", respond=None, most=2) as server:
        asking = [
            asyncio.create_task(caller.ask(question(), MAIL, Deadline.after(PATIENCE, time.monotonic())))
            for _ in range(5)
        ]
        held = [await server.receive() for _ in range(2)]
        async with serving(brokers[2], "mail"):
            await asyncio.wait(asking, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            while sum(task.done() for task in asking) < 3:
                await asyncio.sleep(0.01)
        for call in held:
            await call.answer(repeated(call))
        assert [(await task).kind for task in asking] == [AnswerKind.ANSWERED] * 5


async def test_a_worker_may_hold_more_and_fewer(brokers: list[Broker]) -> None:
    """The change applies to the questions that follow, and the queue is served meanwhile."""
    caller = brokers[1].caller()

    def asking() -> asyncio.Task[Answer]:
        return asyncio.create_task(caller.ask(question(), MAIL, Deadline.after(PATIENCE, time.monotonic())))

    async with serving(brokers[0], "mail", respond=None, most=1) as server:
        tasks = [asking() for _ in range(3)]
        first = await server.receive()
        await server.adjust(3)
        others = [await server.receive() for _ in range(2)]
        await server.adjust(1)
        for call in (first, *others):
            await call.answer(repeated(call))
        assert [(await task).kind for task in tasks] == [AnswerKind.ANSWERED] * 3
        tasks = [asking() for _ in range(2)]
        call = await server.receive()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await server.receive()
        await call.answer(repeated(call))
        call = await server.receive()
        await call.answer(repeated(call))
        await asyncio.gather(*tasks)


async def test_a_question_ends_with_its_time(brokers: list[Broker]) -> None:
    """The caller gets `CallTimedOut`. A worker that becomes free later does not get the question, and a late answer
    reaches nobody."""
    caller = brokers[1].caller()

    def asking(timeout: float) -> Deadline:
        return Deadline.after(timeout, time.monotonic())

    async with serving(brokers[0], "mail", respond=None, most=1) as server:
        first = asyncio.create_task(caller.ask(question(b"1", 5.0), MAIL, asking(5.0)))
        held = await server.receive()
        with pytest.raises(CallTimedOut, match=r"within 0\.3 s"):
            await caller.ask(question(b"2", 0.3), MAIL, asking(0.3))
        with pytest.raises(CallTimedOut, match=r"within 5 s"):
            await first
        await held.answer(repeated(held))
        third = asyncio.create_task(caller.ask(question(b"3"), MAIL, asking(PATIENCE)))
        held = await server.receive()
        assert held.question.event.data == b"3"
        await held.answer(repeated(held))
        assert (await third).data == b"3"


async def test_a_worker_that_stops(brokers: list[Broker]) -> None:
    """It gives back what it has not handed out, still answers what it has, and gets no further question. A question
    that reaches RabbitMQ while the queue of the last worker is being deleted gets no answer."""
    caller = brokers[1].caller()
    deadline = Deadline.after(PATIENCE, time.monotonic())
    async with serving(brokers[0], "mail", respond=None, most=3) as server:
        asking = [asyncio.create_task(caller.ask(question(b"%d" % n), MAIL, deadline)) for n in range(3)]
        first = await server.receive()
        given_back = await server.stop()
        with pytest.raises(NobodyServes):
            await caller.ask(question(), MAIL, deadline)
        await first.answer(repeated(first))
        for call in given_back:
            await call.answer(unanswered(AnswerKind.NOT_BEGUN, "stopping"))
        results = await asyncio.gather(*asking, return_exceptions=True)
    answers = [result for result in results if isinstance(result, Answer)]
    assert sorted(answer.kind for answer in answers) == [AnswerKind.ANSWERED, *[AnswerKind.NOT_BEGUN] * len(given_back)]
    not_taken = [result for result in results if result not in answers]
    assert len(not_taken) == 2 - len(given_back)
    assert all(isinstance(result, NobodyServes | CallTimedOut) for result in not_taken)


async def test_a_worker_that_is_lost(brokers: list[Broker], another_broker: OpenBroker) -> None:
    """The caller is told long before its timeout, and no other worker runs the question."""
    lost = another_broker()
    async with serving(lost, "mail", respond=None) as server:
        asking = asyncio.create_task(ask(brokers[1], question()))
        await server.receive()
        async with serving(brokers[0], "mail", respond=None) as other:
            await lost.close()
            taking = asyncio.create_task(other.receive())
            await asyncio.wait({asking, taking}, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                assert taking.result().may_have_run
                await taking.result().answer(unanswered(AnswerKind.LOST, "the other worker is gone"))
            taking.cancel()
            with suppress(CallLost):  # SQLite's caller sees the loss itself
                assert (await asking).kind is AnswerKind.LOST


async def test_a_caller_that_closes(brokers: list[Broker]) -> None:
    """Its questions that wait end with `CallLost`. The worker's answer reaches nobody, and the worker goes on."""
    caller = brokers[1].caller()
    deadline = Deadline.after(PATIENCE, time.monotonic())
    async with serving(brokers[0], "mail", respond=None) as server:
        asking = asyncio.create_task(caller.ask(question(), MAIL, deadline))
        held = await server.receive()
        await caller.close()
        with pytest.raises(CallLost):
            await asking
        await held.answer(repeated(held))
        again = asyncio.create_task(ask(brokers[2], question(b"again")))
        held = await server.receive()
        await held.answer(repeated(held))
        assert (await again).data == b"again"
