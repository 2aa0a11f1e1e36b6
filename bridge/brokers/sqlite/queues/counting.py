"""Counts the rows of events. Runs on the database thread inside the transaction that is open there."""

import sqlite3
from collections import Counter, defaultdict

from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.sqlite.queues.decoding import text
from bridge.brokers.sqlite.queues.lanes import queue_and_lane
from bridge.brokers.sqlite.queues.routing import Routing
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.handling import Priority


def backlogs(connection: sqlite3.Connection, schema: Schema, routing: Routing, now: int) -> dict[str, Backlog]:
    """Return the counts of each declared queue. `now` is in microseconds since 1970. An event that is not routed yet
    counts for every queue that would take it now."""
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


def waiting(connection: sqlite3.Connection, schema: Schema, now: int) -> int:
    """Return the number of events that are not due at `now` (microseconds since 1970)."""
    return int(connection.execute(f"SELECT count(*) FROM {schema.event} WHERE due > ?", (now,)).fetchone()[0])
