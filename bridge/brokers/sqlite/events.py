"""The rows of events: written, routed, taken, settled and counted. Each method is the SQL of one operation, run on the
database thread inside the transaction that is open there.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bridge.brokers.contract import Backlog
from bridge.brokers.sqlite.ledger_table import LedgerTable, microseconds
from bridge.brokers.sqlite.reading import Taken, read, stored, text, unroutable
from bridge.brokers.sqlite.routing import Routing
from bridge.brokers.sqlite.schema import Schema
from bridge.envelope import Envelope, encode_head
from bridge.errors import DeliveryLost, Unroutable
from bridge.ledger import Letter

COME_DUE = 1 << 62
"""Subtracted from the due time of what has come due: so it stays due, in its order, when the clock is set back."""

CONTENT = "CAST(name AS BLOB), CAST(head AS BLOB), CAST(data AS BLOB)"
"""The columns of a row's content, as `reading.stored` takes them: text that is no UTF-8 would else keep the whole queue
from being read."""


@dataclass(frozen=True, slots=True)
class Row:
    """An envelope as it is written. `due`: microseconds since 1970; None: now."""

    name: str
    head: str
    data: bytes
    due: int | None


@dataclass(frozen=True, slots=True)
class Catch:
    """What was taken, and when (microseconds since 1970) there may be more; None: when somebody writes."""

    taken: list[Taken]
    next_due: int | None


class Events:
    """All that is done with the rows of one namespace."""

    def __init__(self, schema: Schema, routing: Routing) -> None:
        self._schema = schema
        self._routing = routing

    @staticmethod
    def row(envelope: Envelope, due: datetime | None) -> Row:
        """Return the envelope as it will be written."""
        event = envelope.event
        return Row(event.name, encode_head(envelope), event.data, None if due is None else microseconds(due))

    def publish(self, connection: sqlite3.Connection, row: Row) -> None:
        """Write it for every queue that takes it, or, where it is not due yet, to be routed then."""
        now = now_microseconds()
        if row.due is not None and row.due > now:
            self._insert(connection, row, None, row.due)
            return
        queues = self._routing.of(connection)(row.name)
        if not queues:
            raise Unroutable(
                f"event {row.name!r}: no queue takes it; a [queues.default] would catch what no other does"
            )
        for queue in queues:
            self._insert(connection, row, queue, now - COME_DUE)

    def put(self, connection: sqlite3.Connection, row: Row, queue: str) -> None:
        """Write it for this one queue."""
        if queue not in self._routing.names(connection):
            raise Unroutable(f"event {row.name!r}: there is no queue {queue!r}")
        self._insert(connection, row, queue, now_microseconds() - COME_DUE if row.due is None else row.due)

    def take(self, connection: sqlite3.Connection, owner: str, rooms: Mapping[str, int]) -> Catch:
        """Take what is due, the oldest first, at most so many of each queue. What has come due stays due, whatever
        becomes of the clock."""
        now = now_microseconds()
        self._mature(connection, now)
        taken: list[Taken] = []
        dues = [self._next_due(connection, None, now)]
        for queue, room in rooms.items():
            its = self._take(connection, owner, queue, room, now)
            taken += its
            if len(its) < room:
                dues.append(self._next_due(connection, queue, now))
        return Catch(taken, min((due for due in dues if due is not None), default=None))

    def ack(self, connection: sqlite3.Connection, number: int, owner: str) -> None:
        """Delete it."""
        self._release(connection, number, owner)
        connection.execute(f"DELETE FROM {self._schema.event} WHERE number = ?", (number,))

    def retry(self, connection: sqlite3.Connection, number: int, owner: str, row: Row) -> None:
        """Put this row in its place."""
        self._release(connection, number, owner)
        connection.execute(
            f"UPDATE {self._schema.event} SET head = ?, due = ?, retries = retries + 1 WHERE number = ?",
            (row.head, row.due, number),
        )

    def dead_letter(self, connection: sqlite3.Connection, number: int, owner: str, letter: Letter) -> None:
        """Put an entry of the ledger in its place."""
        self._release(connection, number, owner)
        self._bury(connection, number, letter)

    def give_back(self, connection: sqlite3.Connection, number: int, owner: str) -> None:
        """Let go of it as if it had not been delivered."""
        given = connection.execute(
            f"UPDATE {self._schema.delivery} SET owner = NULL, count = count - 1 WHERE number = ? AND owner = ?",
            (number, owner),
        )
        _check_held(given, number)

    def backlog(self, connection: sqlite3.Connection) -> dict[str, Backlog]:
        """Count what each declared queue holds. What is not routed yet counts for every queue that takes it now."""
        now = now_microseconds()
        ready: Counter[str] = Counter()
        held: Counter[str] = Counter()
        waiting: Counter[str] = Counter()
        event, delivery = self._schema.event, self._schema.delivery
        in_queues = f"SELECT queue, due <= ?, count(*) FROM {event} WHERE queue NOTNULL GROUP BY 1, 2"
        for queue, due, count in connection.execute(in_queues, (now,)):
            (ready if due else waiting)[queue] += count
        by_name = f"SELECT CAST(name AS BLOB), due <= ?, count(*) FROM {event} WHERE queue ISNULL GROUP BY 1, 2"
        route = self._routing.of(connection)
        for name, due, count in connection.execute(by_name, (now,)):
            for queue in route(text(name)):
                (ready if due else waiting)[queue] += count
        in_flight = f"SELECT queue, count(*) FROM {delivery} JOIN {event} USING (number) WHERE owner NOTNULL GROUP BY 1"
        for queue, count in connection.execute(in_flight):
            held[queue] += count
            ready[queue] -= count
        return {name: Backlog(ready[name], held[name], waiting[name]) for name in self._routing.names(connection)}

    def _insert(self, connection: sqlite3.Connection, row: Row, queue: str | None, due: int) -> None:
        connection.execute(
            f"INSERT INTO {self._schema.event} (queue, due, name, head, data) VALUES (?, ?, ?, ?, ?)",
            (queue, due, row.name, row.head, row.data),
        )

    def _mature(self, connection: sqlite3.Connection, now: int) -> None:
        """Route what waited for its time by the queues that are declared now."""
        event = self._schema.event
        unrouted = f"SELECT number, CAST(name AS BLOB) FROM {event} WHERE queue ISNULL AND due <= ?"
        due = connection.execute(unrouted, (now,)).fetchall()
        if not due:
            return
        route = self._routing.of(connection)
        for number, name in due:
            first, *others = route(text(name)) or (None,)
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

    def _take(self, connection: sqlite3.Connection, owner: str, queue: str, room: int, now: int) -> list[Taken]:
        taken: list[Taken] = []
        connection.execute(
            f"UPDATE {self._schema.event} SET due = due - {COME_DUE} WHERE number IN (SELECT number"
            f" FROM {self._schema.event} WHERE queue = ? AND due BETWEEN 0 AND ? ORDER BY due LIMIT ?)",
            (queue, now, room),
        )
        while len(taken) < room:
            asked = room - len(taken)
            rows = connection.execute(
                f"SELECT event.number, retries, coalesce(count, 0), {CONTENT} FROM {self._schema.event} AS event"
                f" LEFT JOIN {self._schema.delivery} AS delivery ON delivery.number = event.number"
                " WHERE queue = ? AND due <= ? AND owner ISNULL ORDER BY due, event.number LIMIT ?",
                (queue, now, asked),
            ).fetchall()
            for row in rows:
                found = read(stored(queue, *row))
                if isinstance(found, Letter):
                    self._bury(connection, row[0], found)
                else:
                    taken.append(found)
                    self._hold(connection, found.number, owner)
            if len(rows) < asked:
                break
        return taken

    def _hold(self, connection: sqlite3.Connection, number: int, owner: str) -> None:
        connection.execute(
            f"INSERT INTO {self._schema.delivery} VALUES (?, ?, 1)"
            " ON CONFLICT DO UPDATE SET owner = excluded.owner, count = count + 1",
            (number, owner),
        )

    def _release(self, connection: sqlite3.Connection, number: int, owner: str) -> None:
        released = connection.execute(
            f"DELETE FROM {self._schema.delivery} WHERE number = ? AND owner = ?", (number, owner)
        )
        _check_held(released, number)

    def _bury(self, connection: sqlite3.Connection, number: int, letter: Letter) -> None:
        LedgerTable(connection, self._schema.ledger_name).append_letter(letter)
        connection.execute(f"DELETE FROM {self._schema.event} WHERE number = ?", (number,))
        connection.execute(f"DELETE FROM {self._schema.delivery} WHERE number = ?", (number,))

    def _bury_unroutable(self, connection: sqlite3.Connection, number: int) -> None:
        content = f"SELECT {CONTENT} FROM {self._schema.event} WHERE number = ?"
        row = connection.execute(content, (number,)).fetchone()
        self._bury(connection, number, unroutable(stored("", number, 0, 0, *row)))

    def _next_due(self, connection: sqlite3.Connection, queue: str | None, now: int) -> int | None:
        found = connection.execute(
            f"SELECT due FROM {self._schema.event} WHERE queue IS ? AND due > ? ORDER BY due LIMIT 1", (queue, now)
        ).fetchone()
        return None if found is None else int(found[0])


def now_microseconds() -> int:
    """Return this machine's clock, in microseconds since 1970."""
    return time.time_ns() // 1000


def _check_held(change: sqlite3.Cursor, number: int) -> None:
    if change.rowcount == 0:
        raise DeliveryLost(f"delivery {number}: its lease is gone, or it was settled before")
