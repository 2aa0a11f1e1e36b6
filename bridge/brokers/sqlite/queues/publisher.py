"""Publishes events: a row for each queue that takes an event, committed when the method returns."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from bridge.brokers.contract.publishing import PUBLISH_SECONDS, Answered, Post, Withdraw
from bridge.brokers.sqlite.queues.enqueuing import Enqueuing
from bridge.brokers.sqlite.queues.late import late
from bridge.brokers.sqlite.queues.posts import Posted, Posts
from bridge.brokers.sqlite.queues.row import Row, row_of
from bridge.deadline import Deadline
from bridge.envelope import Envelope
from bridge.errors import BrokerUnavailable, DeferRejected
from bridge.event import Event
from bridge.local_database.connection import WriteRefused
from bridge.local_database.database import Database
from bridge.local_database.operation import Operation
from bridge.local_database.wakeups import CONSUMER_MARK

T = TypeVar("T")


class SqlitePublisher:
    """A publisher. `wake_consumers` makes the consumers of this process look for new rows at once."""

    def __init__(self, database: Database, enqueuing: Enqueuing, wake_consumers: Callable[[], None]) -> None:
        self._database = database
        self._enqueuing = enqueuing
        self._wake_consumers = wake_consumers
        self._closed = False
        self._posts = Posts(database, enqueuing, wake_consumers)

    async def ready(self, deadline: Deadline) -> None:
        """Return at once: a publish waits for the file."""

    async def publish(
        self,
        event: Event,
        due: datetime | None = None,
        *,
        deadline: Deadline | None = None,
        within: timedelta | None = None,
    ) -> None:
        envelope = Envelope(event, round_began=event.time if due is None else due)
        row = row_of(envelope, due)

        def write(connection: sqlite3.Connection) -> None:
            if within is None:
                self._enqueuing.publish(connection, row)
            else:
                self._enqueuing.publish_unless_held(connection, row, event, within)

        await self._write(event, write, deadline)

    def at_once(self, event: Event, due: datetime | None = None, *, deadline: Deadline) -> Post | None:
        if self._closed:
            return None
        row = row_of(Envelope(event, round_began=event.time if due is None else due), due)
        return partial(self._post, row, event, deadline)

    def _post(self, row: Row, event: Event, deadline: Deadline, answered: Answered) -> Withdraw:
        self._posts.add(Posted(row, event, deadline, answered))
        return _nothing_to_withdraw

    async def put(
        self, envelope: Envelope, queue: str, due: datetime | None = None, *, deadline: Deadline | None = None
    ) -> None:
        row = row_of(envelope, due)
        await self._write(envelope.event, lambda connection: self._enqueuing.put(connection, row, queue), deadline)

    async def close(self) -> None:
        self._closed = True

    async def _write(self, event: Event, work: Callable[[sqlite3.Connection], None], deadline: Deadline | None) -> None:
        if self._closed:
            raise BrokerUnavailable("the publisher is closed")
        operation = self._database.submit(work, wakes=CONSUMER_MARK)
        self._wake_consumers()
        deadline = deadline or Deadline.after(PUBLISH_SECONDS, time.monotonic())
        await committed(operation, self._database.name, event, deadline)


async def committed(operation: Operation[T], database: str, event: Event, deadline: Deadline) -> T:
    """Return the result of writing an event when it is committed. Raise what `Publisher.publish` raises."""
    try:
        async with asyncio.timeout(deadline.remaining(time.monotonic())):
            return await operation.future
    except WriteRefused as error:
        raise DeferRejected(str(error)) from error
    except TimeoutError:
        raise late(event, database, deadline, withdrawn=operation.withdraw()) from None
    except asyncio.CancelledError:
        operation.withdraw()
        raise


def _nothing_to_withdraw() -> None:
    """Do nothing: an event is written once."""
