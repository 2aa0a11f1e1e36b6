"""Serves calls: takes questions from the broker, runs each in a slot until its caller's time is over, and answers.

A call is no event: it is not settled, not retried and has no dead letter. Each question that is taken gets one answer.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from bridge.brokers.contract.calling import CallServer, HeldCall
from bridge.call import Answer, AnswerKind, Question, unanswered
from bridge.call_reply import answer_of, call_parameters
from bridge.fastcgi import InvalidRequest, encode_request
from bridge.logger import log
from bridge.outcome import Unsendable
from bridge.request import ReplayTarget
from bridge.trust import Trust
from worker.slots.slot import Request
from worker.slots.slots import NoSlotInTime, NoSlotToCome, Slots

HEADROOM = 1024
"""Bytes of a reply that are kept beyond `max_body`, so that a larger answer is recognised."""


LOOKED_EVERY = 1.0
"""Seconds between two looks at the size of the pool."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class CallRunner:
    """Runs calls in the slots. `trust` says which part of a reply decides; questions and answers have at most
    `max_body` bytes."""

    slots: Slots
    target: ReplayTarget
    trust: Trust
    max_body: int
    now: Callable[[], datetime] = _utc_now

    async def run(self, call: HeldCall) -> Answer:
        """Return the answer to a question."""
        question = call.question
        if call.may_have_run:
            return unanswered(AnswerKind.LOST, "the worker that took the call is gone; the call may have run")
        remaining = question.remaining(self.now())
        if remaining <= 0:
            return unanswered(AnswerKind.LATE, f"a worker got the call {-remaining:.3f} s after its time, by its clock")
        until = asyncio.get_running_loop().time() + remaining
        request = self._request(question, call.queue)
        if isinstance(request, Unsendable):
            return answer_of(request, self.trust, self.max_body, self.now())
        try:
            ran = await self.slots.call(request, until)
        except NoSlotInTime:
            return unanswered(AnswerKind.LATE, "all slots for calls were busy until the call's time was over")
        except NoSlotToCome:
            return unanswered(AnswerKind.NOT_BEGUN, "the worker stops")
        return answer_of(ran.exchange, self.trust, self.max_body, self.now())

    def _request(self, question: Question, queue: str) -> Request | Unsendable:
        event = question.event
        if len(event.data) > self.max_body:
            return Unsendable(f"the data is {len(event.data)} bytes: expected at most {self.max_body} (max_body)")
        try:
            encoded = encode_request(call_parameters(question, queue, self.target), event.data)
        except InvalidRequest as error:
            return Unsendable(str(error))
        return Request(event.name, event.id, queue, 1, encoded, room=self.max_body + HEADROOM)


class CallService:
    """Takes questions and answers each. Without slots for calls (`calls = 0`) it takes none."""

    def __init__(self, server: CallServer, runner: CallRunner) -> None:
        self._server = server
        self._runner = runner
        self._tasks: set[asyncio.Task[None]] = set()
        self._most = 0

    async def start(self, queues: Sequence[str]) -> None:
        """Serve the calls of these queues from now on."""
        self._most = self._runner.slots.for_calls
        if self._most:
            await self._server.start(queues, self._most)

    async def run(self) -> NoReturn:
        """Take questions and run them."""
        while True:
            task = asyncio.create_task(self._answer(await self._server.receive()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def keep_size(self) -> NoReturn:
        """Hold as many questions as calls may fill slots, also after the pool was resized."""
        while True:
            await asyncio.sleep(LOOKED_EVERY)
            if self._most and self._most != (most := self._runner.slots.for_calls):
                self._most = most
                await self._server.adjust(most)

    async def stop(self) -> None:
        """Take no more questions. Those that run go on; those that have not begun can be asked again."""
        not_begun = unanswered(AnswerKind.NOT_BEGUN, "the worker stops")
        await asyncio.gather(*(call.answer(not_begun) for call in await self._server.stop()))

    async def drain(self, grace: float) -> None:
        """Wait up to `grace` seconds until the running calls are answered, then end them: their callers are told."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        unfinished = list(self._tasks)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def _answer(self, call: HeldCall) -> None:
        try:
            answer = await self._runner.run(call)
        except asyncio.CancelledError:
            answer = unanswered(AnswerKind.LOST, "the worker was stopped before the call ended")
        except Exception as error:
            log.exception("internal error while running a call", extra={"event": call.question.event.name})
            answer = unanswered(AnswerKind.FAILED, f"internal error of the worker: {type(error).__name__}: {error}")
        if answer.kind is not AnswerKind.ANSWERED:
            event = call.question.event
            log.info("a call was not answered: %s", answer.why, extra={"event": event.name, "id": event.id})
        await call.answer(answer)
