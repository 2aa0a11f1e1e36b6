"""Takes questions through the database file. A worker that serves queues is noted there with its lock file, so that
callers see at once when it has ended.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from bridge.brokers.sqlite.calling.call_table import CallTable, Taken
from bridge.brokers.sqlite.coordination.changes import Changes
from bridge.call import Answer, Question, decode_question, encode_answer
from bridge.errors import BridgeError, UnreadableEnvelope
from bridge.local_database.database import Database
from bridge.local_database.wakeups import CALLER_MARK, SERVER_MARK

T = TypeVar("T")

AGAIN_SECONDS = 0.7

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SqliteCall:
    """A question that this worker took. No other worker ever gets it; see the contract."""

    server: "SqliteCallServer"
    question: Question
    queue: str
    number: int

    @property
    def may_have_run(self) -> bool:
        return False

    async def answer(self, answer: Answer) -> None:
        """Write the answer."""
        await self.server.answer(self, answer)


class SqliteCallServer:
    """Takes questions and writes answers; see the contract."""

    def __init__(self, database: Database, changes: Changes, prefix: str) -> None:
        self._database = database
        self._changes = changes
        self._prefix = prefix
        self._queues: tuple[str, ...] = ()
        self._most = 1
        self._held = 0
        self._owner = ""
        self._trouble = ""
        self._ready: asyncio.Queue[SqliteCall] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._attempted = asyncio.Event()
        """Set when callers find this server, or when the first attempt to become findable has failed."""
        self._serving: asyncio.Task[None] | None = None
        self._taking = False

    @property
    def trouble(self) -> str:
        """The current reason why no questions can be taken."""
        return self._trouble

    async def start(self, queues: Sequence[str], most: int) -> None:
        """Serve these queues."""
        self._queues, self._most, self._taking = tuple(queues), most, True
        self._serving = asyncio.create_task(self._serve(), name="calls")
        await self._attempted.wait()

    async def adjust(self, most: int) -> None:
        """Hold at most `most` unanswered questions."""
        self._most = most
        self._changed.set()

    async def receive(self) -> SqliteCall:
        """Return the next question."""
        return await self._ready.get()

    async def stop(self) -> list[SqliteCall]:
        """Take no more questions. The lock file stays: the questions that were taken will be answered."""
        self._taking = False
        self._changed.set()
        if self._owner:
            try:
                await self._run(lambda table: table.leave(self._owner))
            except BridgeError as error:
                log.warning("%s; callers learn only from the end of this process that it takes no more calls", error)
        return [self._ready.get_nowait() for _ in range(self._ready.qsize())]

    async def close(self) -> None:
        """Stop, and remove the lock file."""
        serving, self._serving = self._serving, None
        if serving is not None:
            await self.stop()
            serving.cancel()
            await asyncio.wait({serving})

    async def answer(self, call: SqliteCall, answer: Answer) -> None:
        """Write the answer, and make room for the next question."""
        if self._held >= self._most:
            self._changed.set()  # questions may wait because there was no room
        self._held -= 1
        data = encode_answer(answer)
        try:
            await self._run(lambda table: table.answer(call.number, data), wakes=CALLER_MARK)
        except BridgeError as error:
            log.warning("the answer to the call of %r was not written: %s", call.question.event.name, error)
        self._changes.tell(CALLER_MARK)

    async def _serve(self) -> None:
        """Take questions without end. An error is tried again under the same lock file, which callers look at."""
        while True:
            try:
                with self._changes.watched_as(SERVER_MARK) as (self._owner, self._changed):
                    while True:
                        try:
                            await self._take()
                        except BridgeError as error:
                            self._note(error)
                            await asyncio.sleep(AGAIN_SECONDS)
            except BridgeError as error:  # the lock file cannot be made
                self._note(error)
                await asyncio.sleep(AGAIN_SECONDS)

    def _note(self, error: BridgeError) -> None:
        self._attempted.set()
        if str(error) != self._trouble:
            self._trouble = str(error)
            log.warning("%s; this worker takes no calls; trying again", error)

    async def _take(self) -> None:
        """Note that this worker serves its queues, and take questions without end, at most `most` at a time."""
        await self._run(lambda table: table.serve(self._owner, self._queues))
        self._attempted.set()
        while True:
            self._changed.clear()
            room = self._most - self._held
            if self._taking and room > 0:
                for each in await self._run(partial(self._take_in, room)):
                    self._hand_out(each)
            self._trouble = ""
            await self._changed.wait()

    def _take_in(self, room: int, table: CallTable) -> list[Taken]:
        return table.take(self._owner, self._queues, room)

    def _hand_out(self, taken: Taken) -> None:
        try:
            question = decode_question(taken.question)
        except UnreadableEnvelope as error:
            log.warning("dropping a call that cannot be read: %s", error)
            return
        self._held += 1
        self._ready.put_nowait(SqliteCall(self, question, taken.queue, taken.number))

    async def _run(self, work: Callable[[CallTable], T], *, wakes: str | None = None) -> T:
        def run(connection: sqlite3.Connection) -> T:
            return work(CallTable(connection, self._prefix))

        # Nothing of a call must survive a power cut, which ends its caller.
        return await self._database.run(run, durable=False, wakes=wakes)
