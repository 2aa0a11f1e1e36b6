"""Counts the rows of events. Runs on the database thread inside the transaction that is open there."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator

from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.sqlite.queues.decoding import text
from bridge.brokers.sqlite.queues.lanes import queue_and_lane
from bridge.brokers.sqlite.queues.routing import Routing
from bridge.brokers.sqlite.queues.row import now_microseconds
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.handling import Priority


class Counting:
    """The counts of one namespace."""

    def __init__(self, schema: Schema, routing: Routing) -> None:
        self._schema = schema
        self._routing = routing

    def backlog(self, connection: sqlite3.Connection) -> dict[str, Backlog]:
        """Count the events of each declared queue. An event that is not routed yet counts for every queue that would
        take it now."""
        return _backlogs(connection, self._schema, self._routing, now_microseconds())

    def waiting(self, connection: sqlite3.Connection) -> int:
        """Count the events that are not due yet. An event that is not routed yet counts once."""
        query = f"SELECT count(*) FROM {self._schema.event} WHERE due > ?"
        return int(connection.execute(query, (now_microseconds(),)).fetchone()[0])


def rows_by_lane(connection: sqlite3.Connection, schema: Schema, now: int) -> Iterator[tuple[str | None, bool, int]]:
    """Yield the name of a queue (None: not routed yet), whether its events have come due, and how many there are."""
    counted = f"SELECT queue, due <= ?, count(*) FROM {schema.event} GROUP BY 1, 2"
    for name, due, count in connection.execute(counted, (now,)):
        yield None if name is None else queue_and_lane(name)[0], bool(due), count


def _backlogs(connection: sqlite3.Connection, schema: Schema, routing: Routing, now: int) -> dict[str, Backlog]:
    ready: Counter[str] = Counter()
    held: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    lanes: dict[str, Counter[Priority]] = defaultdict(Counter)
    event, delivery = schema.event, schema.delivery
    in_queues = f"SELECT queue, due <= ?, count(*) FROM {event} WHERE queue NOTNULL GROUP BY 1, 2"
    for name, due, count in connection.execute(in_queues, (now,)):
        queue, lane = queue_and_lane(name)
        (ready if due else waiting)[queue] += count
        lanes[queue][lane] += count if due else 0
    by_name = f"SELECT CAST(name AS BLOB), due <= ?, count(*) FROM {event} WHERE queue ISNULL GROUP BY 1, 2"
    route = routing.of(connection)
    for name, due, count in connection.execute(by_name, (now,)):
        for queue in route(text(name)):
            (ready if due else waiting)[queue] += count
    in_flight = f"SELECT queue, count(*) FROM {delivery} JOIN {event} USING (number) WHERE owner NOTNULL GROUP BY 1"
    for name, count in connection.execute(in_flight):
        queue, lane = queue_and_lane(name)
        held[queue] += count
        ready[queue] -= count
        lanes[queue][lane] -= count
    return {
        name: Backlog(ready[name], held[name], waiting[name], dict(lanes[name])) for name in routing.names(connection)
    }
