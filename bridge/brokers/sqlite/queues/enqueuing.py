"""Puts events into queues: a row for each queue that takes the event. Each method has the SQL of one operation, inside
the transaction that is open.
"""

import sqlite3
from collections.abc import Sequence
from datetime import timedelta

from bridge.brokers.sqlite.queues.keys import Keys
from bridge.brokers.sqlite.queues.lanes import lane_name
from bridge.brokers.sqlite.queues.routing import Routing
from bridge.brokers.sqlite.queues.row import COME_DUE, Row, now_microseconds
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.errors import DuplicateEvent, Unroutable
from bridge.event import Event


class Enqueuing:
    """The queues of one namespace, as a publisher sees them."""

    def __init__(self, schema: Schema, routing: Routing) -> None:
        self._routing = routing
        self._keys = Keys(f"{schema.prefix}.key")
        self._insertion = f"INSERT INTO {schema.event} (queue, due, name, head, data) VALUES (?, ?, ?, ?, ?)"

    def publish(self, connection: sqlite3.Connection, row: Row) -> None:
        """Write a row for every queue that takes the event. If it is not due yet, write one row that is routed then."""
        (error,) = self.publish_all(connection, (row,))
        if error is not None:
            raise error

    def publish_all(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> list[Unroutable | None]:
        """Publish events in order. Return the error of each, None if it is written."""
        now = now_microseconds()
        route = self._routing.of(connection)
        written: list[tuple[str | None, int, str, str, bytes]] = []
        errors: list[Unroutable | None] = []
        for row in rows:
            if row.due is not None and row.due > now:
                written.append((None, row.due, row.name, row.head, row.data))
                errors.append(None)
                continue
            queues = route(row.name)
            for queue in queues:
                written.append((lane_name(queue, row.lane), now - COME_DUE, row.name, row.head, row.data))
            errors.append(None if queues else _unroutable(row))
        connection.executemany(self._insertion, written)
        return errors

    def publish_unless_held(self, connection: sqlite3.Connection, row: Row, event: Event, within: timedelta) -> None:
        """Publish the event, which then holds its key for this time. Raise `DuplicateEvent` if another event of the
        same name holds the key."""
        key, now = event.handling.key or "", now_microseconds()
        first = self._keys.first(connection, event.name, key, now)
        if first is not None:
            raise DuplicateEvent(first, f"event {event.name!r}: {first} has its key {key!r} already")
        self.publish(connection, row)
        self._keys.hold(connection, event.name, key, event.id, now, within)

    def put(self, connection: sqlite3.Connection, row: Row, queue: str) -> None:
        """Write the row for this queue only."""
        if queue not in self._routing.names(connection):
            raise Unroutable(f"event {row.name!r}: there is no queue {queue!r}")
        due = now_microseconds() - COME_DUE if row.due is None else row.due
        self._insert(connection, row, lane_name(queue, row.lane), due)

    def _insert(self, connection: sqlite3.Connection, row: Row, queue: str | None, due: int) -> None:
        connection.execute(self._insertion, (queue, due, row.name, row.head, row.data))


def _unroutable(row: Row) -> Unroutable:
    return Unroutable(f"event {row.name!r}: no queue takes it; a [queues.default] would catch what no other does")
