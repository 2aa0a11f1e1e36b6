"""Deletes the events of a queue that nobody holds, inside the transaction that is open."""

import sqlite3

from bridge.brokers.sqlite.queues.lanes import LANES, lane_name
from bridge.brokers.sqlite.queues.maturing import Maturing
from bridge.brokers.sqlite.queues.routing import Routing
from bridge.brokers.sqlite.queues.row import now_microseconds
from bridge.brokers.sqlite.queues.schema import Schema


class Purging:
    """The queues of one namespace, as an operator sees them."""

    def __init__(self, schema: Schema, routing: Routing, maturing: Maturing) -> None:
        self._schema = schema
        self._routing = routing
        self._maturing = maturing

    def purge(self, connection: sqlite3.Connection, queue: str) -> int | None:
        """Delete the events of a queue that are due and not held. Return their number; None if there is no queue."""
        if queue not in self._routing.names(connection):
            return None
        now, event, delivery = now_microseconds(), self._schema.event, self._schema.delivery
        self._maturing.mature(connection, now)
        lanes = [lane_name(queue, lane) for lane in LANES]
        ready = f"queue IN (?, ?, ?) AND due <= ? AND number NOT IN (SELECT number FROM {delivery} WHERE owner NOTNULL)"
        purged = connection.execute(f"DELETE FROM {event} WHERE {ready}", (*lanes, now)).rowcount
        connection.execute(f"DELETE FROM {delivery} WHERE owner ISNULL AND number NOT IN (SELECT number FROM {event})")
        return purged
