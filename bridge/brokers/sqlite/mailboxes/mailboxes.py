"""Mailboxes in the database file: rows, lock files of those who hold or await messages, and wake-ups."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from bridge.brokers.sqlite.coordination.changes import Changes
from bridge.brokers.sqlite.mailboxes.mail_table import Fetched, MailTable
from bridge.deadline import Deadline
from bridge.errors import BridgeError, BrokerUnavailable, DeferRejected, DeferUnconfirmed, DeliveryLost
from bridge.handling import Priority
from bridge.local_database.connection import WriteRefused
from bridge.local_database.database import Database
from bridge.local_database.wakeups import MAILBOX_MARK

T = TypeVar("T")

LOOK_SECONDS = 0.5
"""Seconds between two looks of a fetch that waits: a process that is killed wakes nobody."""


@dataclass(frozen=True, slots=True)
class SqliteMessage:
    """A message that this process holds; see the contract."""

    mailboxes: "SqliteMailboxes"
    owner: str
    fetched: Fetched

    @property
    def body(self) -> bytes:
        return self.fetched.body

    @property
    def priority(self) -> Priority:
        return self.fetched.priority

    @property
    def redelivered(self) -> bool:
        return self.fetched.redelivered

    async def ack(self) -> None:
        await self.mailboxes.ack(self)

    async def give_back(self) -> None:
        await self.mailboxes.give_back(self)


class SqliteMailboxes:
    """Puts and fetches messages; see the contract. From the first fetch on, it has a lock file: the owner of all
    messages that it holds."""

    def __init__(self, database: Database, changes: Changes, prefix: str) -> None:
        self._database = database
        self._changes = changes
        self._prefix = prefix
        self._owning = AsyncExitStack()
        self._owner = ""
        self._changed = asyncio.Event()
        self._wakes = 0
        """The wake-ups so far. All fetches of this process share one event, which each of them clears."""

    async def put(self, mailbox: str, body: bytes, priority: Priority, *, deadline: Deadline) -> None:
        """Write a message; it is on the disk when this returns."""
        work = self._of_table(lambda table: table.put(mailbox, priority, body))
        operation = self._database.submit(work, wakes=MAILBOX_MARK)
        try:
            async with asyncio.timeout(deadline.remaining(time.monotonic())):
                await operation.future
        except WriteRefused as error:
            raise DeferRejected(str(error)) from error
        except TimeoutError:
            if operation.withdraw():
                raise self._busy(deadline) from None
            message = f"the message to mailbox '{mailbox}': written, not confirmed within {deadline.budget:g} s"
            raise DeferUnconfirmed("", message) from None
        except asyncio.CancelledError:
            operation.withdraw()
            raise
        self._changes.tell(MAILBOX_MARK)

    async def fetch(self, mailbox: str, seconds: float, *, deadline: Deadline) -> SqliteMessage | None:
        """Return the next message, or None."""
        until = time.monotonic() + seconds
        try:
            async with asyncio.timeout(deadline.remaining(time.monotonic())):
                while True:
                    self._own()
                    wakes = self._wakes
                    if (fetched := await self._fetched(mailbox)) is not None:
                        return SqliteMessage(self, self._owner, fetched)
                    left = until - time.monotonic()
                    if left <= 0:
                        return None
                    if wakes == self._wakes:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(min(left, LOOK_SECONDS)):
                                await self._changed.wait()
        except TimeoutError:
            raise self._busy(deadline) from None

    async def ack(self, message: SqliteMessage) -> None:
        """Delete a message that is held."""
        number, owner = message.fetched.number, message.owner
        try:
            deleted = await self._run(lambda table: table.delete(number, owner))
        except BridgeError as error:
            raise DeliveryLost(f"the message is not acknowledged, and comes again: {error}") from error
        if not deleted:
            raise DeliveryLost(f"the message is no longer held: {self._database.name} was replaced")

    async def give_back(self, message: SqliteMessage) -> None:
        """Return a message to its mailbox."""
        number, owner = message.fetched.number, message.owner
        with suppress(BridgeError):  # it returns when this process ends
            await self._run(lambda table: table.give_back(number, owner), durable=False, wakes=MAILBOX_MARK)
        self._changes.tell(MAILBOX_MARK)

    async def close(self) -> None:
        """Remove the lock file, so that others can fetch what this process holds."""
        await self._owning.aclose()
        self._owner = ""

    def _own(self) -> None:
        """Make the lock file, if there is none yet, and clear its wake-up. Every fetch that waits is woken by it."""
        if not self._owner:
            self._owner, self._changed = self._owning.enter_context(self._changes.watched_as(MAILBOX_MARK))
        elif self._changed.is_set():
            self._changed.clear()
            self._wakes += 1

    async def _fetched(self, mailbox: str) -> Fetched | None:
        lives = partial(self._changes.lives, MAILBOX_MARK)
        owner = self._owner
        work = self._of_table(lambda table: table.fetch(mailbox, owner, lives))
        operation = self._database.submit(work, durable=False)
        try:
            return await asyncio.shield(operation.future)
        except asyncio.CancelledError:
            if not operation.withdraw():
                operation.future.add_done_callback(partial(self._give_back_later, owner))
            raise

    def _give_back_later(self, owner: str, future: "asyncio.Future[Fetched | None]") -> None:
        """Return a message whose fetch was cancelled while it was being fetched."""
        fetched = None if future.cancelled() or future.exception() is not None else future.result()
        if fetched is not None:
            work = self._of_table(lambda table: table.give_back(fetched.number, owner))
            with suppress(BrokerUnavailable):
                operation = self._database.submit(work, durable=False, wakes=MAILBOX_MARK)
                operation.future.add_done_callback(asyncio.Future.exception)

    def _busy(self, deadline: Deadline) -> BrokerUnavailable:
        return BrokerUnavailable(f"{self._database.name}: kept busy by others for {deadline.budget:g} s")

    def _of_table(self, work: Callable[[MailTable], T]) -> Callable[[sqlite3.Connection], T]:
        return lambda connection: work(MailTable(connection, self._prefix))

    async def _run(self, work: Callable[[MailTable], T], *, durable: bool = True, wakes: str | None = None) -> T:
        return await self._database.run(self._of_table(work), durable=durable, wakes=wakes)
