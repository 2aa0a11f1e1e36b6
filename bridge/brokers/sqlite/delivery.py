"""An envelope held from a queue, by a lease on its row. Each verb joins the next transaction."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bridge.brokers.sqlite.events import Events
from bridge.brokers.sqlite.reading import Taken
from bridge.envelope import Envelope
from bridge.event import after
from bridge.ledger import Letter


class Holder(Protocol):
    """Whoever took the delivery, and keeps count of it."""

    owner: str

    async def settle(self, delivery: "SqliteDelivery", work: Callable[[sqlite3.Connection], None], rings: bool) -> None:
        """Do the work, and count the delivery as settled. `rings`: others may take what it leaves."""


class SqliteDelivery:
    """A delivery. `file` tells from which file it came: another one in its place has other events of the same
    numbers."""

    def __init__(self, holder: Holder, events: Events, taken: Taken, file: int) -> None:
        self.file = file
        self._holder = holder
        self._events = events
        self._taken = taken

    @property
    def envelope(self) -> Envelope:
        return self._taken.envelope

    @property
    def queue(self) -> str:
        return self._taken.queue

    @property
    def token(self) -> str:
        return f"{self._taken.number}.{self._taken.retries}"

    @property
    def redelivered(self) -> bool:
        return self._taken.count > 1

    async def ack(self) -> None:
        await self._settle(lambda connection: self._events.ack(connection, self._number, self._owner))

    async def retry(self, envelope: Envelope, wait: timedelta) -> None:
        row = self._events.row(envelope, after(datetime.now(UTC), wait.total_seconds()))
        await self._settle(lambda connection: self._events.retry(connection, self._number, self._owner, row))

    async def dead_letter(self, letter: Letter) -> None:
        await self._settle(lambda connection: self._events.dead_letter(connection, self._number, self._owner, letter))

    async def give_back(self) -> None:
        await self._settle(lambda connection: self._events.give_back(connection, self._number, self._owner), rings=True)

    @property
    def _number(self) -> int:
        return self._taken.number

    @property
    def _owner(self) -> str:
        return self._holder.owner

    async def _settle(self, work: Callable[[sqlite3.Connection], None], rings: bool = False) -> None:
        await self._holder.settle(self, work, rings)
