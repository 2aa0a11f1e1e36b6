"""Puts events on their way: a row for each queue that takes one, committed when the method returns."""

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from bridge.brokers.contract import WITHIN
from bridge.brokers.sqlite.connection import WriteRefused
from bridge.brokers.sqlite.database import Database
from bridge.brokers.sqlite.events import Events
from bridge.brokers.sqlite.operation import Operation
from bridge.envelope import Envelope
from bridge.errors import BrokerUnavailable, DeferRejected, DeferUnconfirmed
from bridge.event import Event

T = TypeVar("T")


class SqlitePublisher:
    """A publisher. `stir` lets this process's own consumers look at once."""

    def __init__(self, database: Database, events: Events, stir: Callable[[], None]) -> None:
        self._database = database
        self._events = events
        self._stir = stir
        self._closed = False

    async def publish(self, event: Event, due: datetime | None = None, *, within: float = WITHIN) -> None:
        envelope = Envelope(event, round_began=event.time if due is None else due)
        row = self._events.row(envelope, due)
        await self._write(event, lambda connection: self._events.publish(connection, row), within)

    async def put(self, envelope: Envelope, queue: str, due: datetime | None = None, *, within: float = WITHIN) -> None:
        row = self._events.row(envelope, due)
        await self._write(envelope.event, lambda connection: self._events.put(connection, row, queue), within)

    async def close(self) -> None:
        self._closed = True

    async def _write(self, event: Event, work: Callable[[sqlite3.Connection], None], within: float) -> None:
        if self._closed:
            raise BrokerUnavailable("the publisher is closed")
        operation = self._database.submit(work, rings=True)
        self._stir()
        await committed(operation, self._database.name, event, within)


async def committed(operation: Operation[T], database: str, event: Event, within: float) -> T:
    """Return the result of writing an event when it is committed. Raises what `Publisher.publish` raises."""
    try:
        async with asyncio.timeout(within):
            return await operation.future
    except WriteRefused as error:
        raise DeferRejected(str(error)) from error
    except TimeoutError:
        if operation.withdraw():
            raise BrokerUnavailable(f"{database}: kept busy by others for {within:g} s") from None
        raise DeferUnconfirmed(event.id, f"event {event.id}: written, and not confirmed in {within:g} s") from None
    except asyncio.CancelledError:
        operation.withdraw()
        raise
