"""Routes delayed events when they become due, inside the transaction that is open."""

import sqlite3

from bridge.brokers.sqlite.queues.burying import bury
from bridge.brokers.sqlite.queues.decoding import lane_in, stored, text, unroutable
from bridge.brokers.sqlite.queues.lanes import lane_name
from bridge.brokers.sqlite.queues.routing import Routing
from bridge.brokers.sqlite.queues.row import CONTENT
from bridge.brokers.sqlite.queues.schema import Schema


class Maturing:
    """The delayed events of one namespace."""

    def __init__(self, schema: Schema, routing: Routing) -> None:
        self._schema = schema
        self._routing = routing

    def mature(self, connection: sqlite3.Connection, now: int) -> None:
        """Move events that are due at `now` (microseconds since 1970) to the queues that are declared now. An event
        that no queue takes becomes a dead letter. An event that somebody holds goes to another broker."""
        event, delivery = self._schema.event, self._schema.delivery
        unrouted = (
            f"SELECT number, CAST(name AS BLOB), CAST(head AS BLOB) FROM {event} WHERE queue ISNULL AND due <= ?"
            f" AND number NOT IN (SELECT number FROM {delivery} WHERE owner NOTNULL)"
        )
        due = connection.execute(unrouted, (now,)).fetchall()
        if not due:
            return
        route = self._routing.of(connection)
        for number, name, head in due:
            lane = lane_in(head)
            first, *others = tuple(lane_name(queue, lane) for queue in route(text(name))) or (None,)
            for queue in others:
                connection.execute(
                    f"INSERT INTO {event} (queue, due, name, head, data)"
                    f" SELECT ?, due, name, head, data FROM {event} WHERE number = ?",
                    (queue, number),
                )
            if first is None:
                self._bury_unroutable(connection, number)
            else:
                connection.execute(f"UPDATE {event} SET queue = ? WHERE number = ?", (first, number))

    def _bury_unroutable(self, connection: sqlite3.Connection, number: int) -> None:
        content = f"SELECT {CONTENT} FROM {self._schema.event} WHERE number = ?"
        row = connection.execute(content, (number,)).fetchone()
        bury(connection, self._schema, number, unroutable(stored("", number, 0, 0, *row)))
