"""A delivery: an envelope that a consumer holds by a lease on its row. Each verb is a settlement, which joins the next
transaction of its consumer."""

import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bridge.brokers.sqlite.queues.decoding import Taken
from bridge.brokers.sqlite.queues.row import row_of
from bridge.brokers.sqlite.queues.settling import Settling
from bridge.envelope import Envelope
from bridge.event import after
from bridge.handling import Priority
from bridge.ledger import Letter

Work = Callable[[sqlite3.Connection], None]


class Holder(Protocol):
    """The consumer that took the delivery, and counts it."""

    owner: str

    async def settle(self, delivery: "SqliteDelivery", work: Work | None, *, wakes: bool) -> None:
        """Do the work, or acknowledge the delivery without any, and count it as settled. `wakes`: wake the consumers of
        other processes."""


class SqliteDelivery:
    """A delivery; see the contract. `file` is the count of the file from which it came: a file that replaced it has
    other events with the same numbers. `number`: that of the event's row. `lane`: the name of the lane that it was
    taken from. `handed_out`: the worker has the delivery. `held`: it counts as held."""

    __slots__ = (
        *("_holder", "_ordered", "_settling"),
        *("envelope", "file", "handed_out", "held", "lane", "lost", "number"),
        *("priority", "queue", "redelivered", "token"),
    )

    def __init__(self, holder: Holder, settling: Settling, taken: Taken, priority: Priority, file: int) -> None:
        self.envelope = taken.envelope
        self.queue = taken.queue
        self.lane = taken.lane
        self.number = taken.number
        self.token = f"{file}.{taken.number}.{taken.retries}"
        self.redelivered = taken.deliveries > 1
        self.lost = False
        self.priority = priority
        self.file = file
        self.handed_out = False
        self.held = False
        self._holder = holder
        self._settling = settling
        self._ordered = taken.ordered

    async def ack(self) -> None:
        if self._ordered:
            await self._end(lambda connection: self._settling.ack(connection, self.number, self._owner))
        else:
            await self._settle(None)

    async def retry(self, envelope: Envelope, wait: timedelta) -> None:
        row = row_of(envelope, after(datetime.now(UTC), wait.total_seconds()))
        verb = self._settling.retry_in_place if self._ordered else self._settling.retry
        await self._settle(lambda connection: verb(connection, self.number, self._owner, row))

    async def dead_letter(self, letter: Letter) -> None:
        await self._end(lambda connection: self._settling.dead_letter(connection, self.number, self._owner, letter))

    async def give_back(self) -> None:
        await self._settle(
            lambda connection: self._settling.give_back(connection, self.number, self._owner), wakes=True
        )

    @property
    def _owner(self) -> str:
        return self._holder.owner

    async def _end(self, work: Work) -> None:
        if not self._ordered:
            await self._settle(work)
            return

        def work_and_end_turn(connection: sqlite3.Connection) -> None:
            work(connection)
            self._settling.end_turn(connection, self.number)

        await self._settle(work_and_end_turn, wakes=True)

    def _settle(self, work: Work | None, *, wakes: bool = False) -> Awaitable[None]:
        return self._holder.settle(self, work, wakes=wakes)
