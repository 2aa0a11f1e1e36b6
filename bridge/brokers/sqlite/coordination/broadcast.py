"""Broadcasts through the database file: rows that are deleted after a minute, and wake-ups."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from bridge.brokers.any_broker.listener_inbox import ListenerInbox
from bridge.brokers.contract.broadcast import Complete, Listener
from bridge.brokers.sqlite.coordination.broadcast_table import BroadcastTable, Message
from bridge.brokers.sqlite.coordination.changes import Changes
from bridge.errors import BridgeError, BrokerUnavailable
from bridge.local_database.database import Database
from bridge.local_database.wakeups import LISTENER_MARK
from bridge.logs import Content, decode_record, encode_record

T = TypeVar("T")

TELL_SECONDS = 5.0
_AGAIN_SECONDS = 0.7
_LOOK_SECONDS = 0.05
"""Seconds between two looks for answers. An answer wakes nobody: it would wake every process of the file."""

log = logging.getLogger(__name__)


class SqliteBroadcast:
    """The messages of one subject; see the contract."""

    def __init__(self, database: Database, changes: Changes, table: str, subject: str) -> None:
        self._database = database
        self._changes = changes
        self._table = table
        self._subject = subject

    @asynccontextmanager
    async def listen(self, listener: Listener) -> AsyncIterator[None]:
        """Call the listener with each message."""
        inbox = ListenerInbox(self._subject, listener)
        with self._changes.watched() as changed:
            last = await self._run(BroadcastTable.last_number, writes=False)
            tasks = [
                asyncio.create_task(inbox.run(), name=f"broadcast {self._subject}"),
                asyncio.create_task(self._read(inbox, changed, last), name=f"broadcast {self._subject}, reading"),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def tell(self, content: Content) -> None:
        """Send a message to all listeners."""
        await self._send(encode_record(content), asks=False)

    async def ask_all(
        self, question: Content, within: float, complete: Complete | None = None, patience: float = 0.0
    ) -> list[Content]:
        """Send a question to all listeners, and return the answers that arrive in time."""
        loop = asyncio.get_running_loop()
        number = await self._send(encode_record(question), asks=True)
        until = loop.time() + within + patience
        await asyncio.sleep(within)
        if complete is not None:
            while loop.time() < until:
                if complete(_decoded(await self._run(lambda table: table.answers(number), writes=False))):
                    break
                await asyncio.sleep(_LOOK_SECONDS)
        return _decoded(await self._run(lambda table: table.take_answers(number)))

    async def close(self) -> None:
        """Do nothing: the broker closes its own connection."""

    async def _read(self, inbox: ListenerInbox, changed: asyncio.Event, after: int) -> None:
        """Pass the messages after this number to the listener, without end."""
        while True:
            changed.clear()
            try:
                last, messages = await self._run(partial(_messages, self._subject, after), writes=False)
            except BridgeError as error:
                log.warning("broadcast %s: %s; trying again", self._subject, error)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            for number, asks, data in messages:
                inbox.take(data, partial(self._answer, number) if asks else None)
            after = last
            await changed.wait()

    async def _answer(self, question: int, data: bytes) -> None:
        await self._run(lambda table: table.answer(question, data))

    async def _send(self, data: bytes, *, asks: bool) -> int:
        """Write a message to all listeners, and return its number."""
        try:
            async with asyncio.timeout(TELL_SECONDS):
                number = await self._run(lambda table: table.send(self._subject, data, asks=asks), wakes=LISTENER_MARK)
        except TimeoutError:
            name = self._database.name
            raise BrokerUnavailable(f"{name}: kept busy by others for {TELL_SECONDS:g} s") from None
        self._changes.tell(LISTENER_MARK)
        return number

    async def _run(self, work: Callable[[BroadcastTable], T], *, writes: bool = True, wakes: str | None = None) -> T:
        def run(connection: sqlite3.Connection) -> T:
            return work(BroadcastTable(connection, self._table))

        # A power cut ends those who listen, so a message need not survive it.
        return await self._database.run(run, writes=writes, durable=False, wakes=wakes)


def _decoded(answers: list[bytes]) -> list[Content]:
    return [content for content in map(decode_record, answers) if content is not None]


def _messages(subject: str, after: int, table: BroadcastTable) -> tuple[int, list[Message]]:
    """Return the number of the newest row, and the messages after this number, or all if the file was replaced."""
    last = table.last_number()
    return last, table.messages(subject, after if after <= last else 0)
