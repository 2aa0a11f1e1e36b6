"""The heads of ordered queues: the event of each that runs, or waits for its retry. While a queue has a head, no other
event of that queue is taken, by any consumer of the file.

A head stays when its consumer ends: the event is then taken again, by any consumer. Each method has the SQL of one
operation, inside the transaction that is open.
"""

import sqlite3
from typing import NamedTuple

from bridge.brokers.sqlite.queues.schema import Schema


class Head(NamedTuple):
    """The number of an event, and the time before which it is not taken, in microseconds since 1970."""

    number: int
    until: int


class Heads:
    """The heads of one namespace."""

    def __init__(self, schema: Schema) -> None:
        self._table = schema.head

    def of(self, connection: sqlite3.Connection, queue: str) -> Head | None:
        """Return the head of a queue; None if any event may be its next one."""
        row = connection.execute(f"SELECT number, until FROM {self._table} WHERE queue = ?", (queue,)).fetchone()
        return None if row is None else Head(*row)

    def put(self, connection: sqlite3.Connection, queue: str, number: int) -> None:
        """Make an event the head of its queue."""
        connection.execute(f"INSERT INTO {self._table} VALUES (?, ?, 0)", (queue, number))

    def wait(self, connection: sqlite3.Connection, number: int, until: int) -> None:
        """Let the head that has this number wait."""
        connection.execute(f"UPDATE {self._table} SET until = ? WHERE number = ?", (until, number))

    def remove(self, connection: sqlite3.Connection, number: int) -> None:
        """Let the next event of the queue be taken, because this one has ended."""
        connection.execute(f"DELETE FROM {self._table} WHERE number = ?", (number,))
