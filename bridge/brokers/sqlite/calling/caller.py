"""Asks questions through the database file: a row for each, and wake-ups."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from sqlite3 import Connection
from typing import TypeVar

from bridge.brokers.sqlite.calling.call_table import CallTable
from bridge.brokers.sqlite.coordination.changes import Changes
from bridge.call import Answer, Question, decode_answer, encode_question
from bridge.deadline import Deadline
from bridge.errors import (
    BridgeError,
    CallError,
    CallLost,
    CallTimedOut,
    CallUnavailable,
    NobodyServes,
    UnreadableEnvelope,
)
from bridge.local_database.database import Database
from bridge.local_database.wakeups import CALLER_MARK, SERVER_MARK

T = TypeVar("T")

LOOK_SECONDS = 0.25
"""Seconds between two checks whether the workers that have this caller's questions live."""

KEPT_SECONDS = 5.0
"""Seconds that the caller's wake-up file stays after the last answer. To make one costs more than a round trip."""

CLOSED = "this process has closed the database before the answer came"


class SqliteCaller:
    """Asks and waits; see the contract."""

    def __init__(self, database: Database, changes: Changes, prefix: str) -> None:
        self._database = database
        self._changes = changes
        self._prefix = prefix
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._done: list[int] = []
        self._asking = 0
        self._read_too_soon = False
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._closed = False

    async def ask(self, question: Question, queues: Sequence[str], deadline: Deadline) -> Answer:
        """Send the question to one worker, and return its answer."""
        name = question.event.name
        data, sent = encode_question(question), False
        try:
            async with asyncio.timeout(deadline.remaining(time.monotonic())):
                number = await self._ask(data, queues, deadline)
                sent = True
                if number is not None:
                    return await self._answer(number)
        except TimeoutError:
            if sent:
                raise CallTimedOut(f"no answer to the call of {name!r} within {question.timeout:g} s") from None
            message = f"the call of {name!r} could not be made within {question.timeout:g} s; nothing ran"
            raise CallUnavailable(f"{message}: {self._database.name} is kept busy by others") from None
        raise NobodyServes(
            f"no worker takes calls of {name!r} now: none serves {' or '.join(queues) or 'a queue for it'} in "
            f"{self._database.name}"
        )

    async def close(self) -> None:
        """End the reading. The broker closes its own connection."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        for number in list(self._waiting):
            self._fail(number, CallLost(CLOSED))

    async def _ask(self, data: bytes, queues: Sequence[str], deadline: Deadline) -> int | None:
        if self._closed:
            raise CallUnavailable("the caller was closed by this process")
        done, self._done = self._done, []
        lives = self._changes.is_served_by

        def ask(table: CallTable) -> int | None:
            return table.ask(data, queues, deadline.remaining(time.monotonic()), done, lives)

        self._asking += 1
        try:
            number = await self._run(ask, wakes=SERVER_MARK)
        except BridgeError as error:
            raise CallUnavailable(f"the call was not made: {error}") from error
        finally:
            self._asking -= 1
        self._changes.tell(SERVER_MARK)
        return number

    async def _answer(self, number: int) -> Answer:
        if self._closed:
            raise CallLost(CLOSED)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        if self._read_too_soon:
            self._changed.set()  # a wake-up that came before this line may have been for this question
        try:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read(), name="answers to calls")
            return await answer
        finally:
            del self._waiting[number]
            self._done.append(number)  # deleted with the next question: that costs no transaction of its own

    async def _read(self) -> None:
        """Pass answers on while questions wait, and for a while after the last one."""
        with self._changes.watched(CALLER_MARK) as self._changed:
            looked = waited = time.monotonic()
            while self._waiting or time.monotonic() - waited < KEPT_SECONDS:
                self._changed.clear()
                self._read_too_soon = self._asking > 0
                if self._waiting:
                    with suppress(BridgeError):  # a busy or replaced file: the look below decides
                        for number, data in await self._run(partial(_answers, list(self._waiting)), writes=False):
                            self._pass_on(number, data)
                    waited = time.monotonic()
                    if waited - looked >= LOOK_SECONDS:
                        await self._look()
                        looked = waited
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._changed.wait()

    async def _look(self) -> None:
        """End the questions that get no answer any more."""
        numbers, lives = list(self._waiting), self._changes.is_served_by
        try:
            lost, unserved = await self._run(lambda table: table.unanswered(numbers, lives))
        except BridgeError:
            return
        for number in lost:
            self._fail(number, CallLost("the worker that took the call is gone; the call may have run"))
        for number in unserved:
            self._fail(number, NobodyServes("the last worker that takes calls of this name is gone; nothing ran"))

    def _pass_on(self, number: int, data: bytes) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            try:
                waiting.set_result(decode_answer(data))
            except UnreadableEnvelope as error:
                waiting.set_exception(CallError(f"the answer cannot be read: {error}"))

    def _fail(self, number: int, error: CallError) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)

    async def _run(self, work: Callable[[CallTable], T], *, writes: bool = True, wakes: str | None = None) -> T:
        def run(connection: Connection) -> T:
            return work(CallTable(connection, self._prefix))

        # Nothing of a call must survive a power cut, which ends its caller.
        return await self._database.run(run, writes=writes, durable=False, wakes=wakes)


def _answers(numbers: Sequence[int], table: CallTable) -> list[tuple[int, bytes]]:
    return table.answers(numbers)
