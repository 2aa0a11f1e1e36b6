"""Writes, routes, takes, settles and counts the rows of events. Each method has the SQL of one operation, and runs on
the database thread inside the transaction that is open there.
"""

import sqlite3
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.sqlite.queues.counting import backlogs, waiting
from bridge.brokers.sqlite.queues.decoding import Taken, lane_in, read, stored, text, unroutable
from bridge.brokers.sqlite.queues.heads import Head, Heads
from bridge.brokers.sqlite.queues.keys import Keys
from bridge.brokers.sqlite.queues.lanes import LANES, lane_name, queue_and_lane
from bridge.brokers.sqlite.queues.routing import Routing
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.envelope import Envelope, encode_head
from bridge.errors import DeliveryLost, DuplicateEvent, Unroutable
from bridge.event import Event
from bridge.handling import Priority
from bridge.ledger import Letter
from bridge.local_database.ledger_table import LedgerTable, microseconds
from bridge.queues import lane_of

COME_DUE = 1 << 62
"""Subtracted from the due time when an event becomes due, so that it stays due, in order, if the clock is set back."""

CONTENT = "CAST(name AS BLOB), CAST(head AS BLOB), CAST(data AS BLOB)"
"""The columns of a row's content, as `decoding.stored` takes them. They are read as bytes, because text that is not
UTF-8 would raise, and the whole queue could not be read."""


@dataclass(frozen=True, slots=True)
class Row:
    """An envelope as it is written. `due`: microseconds since 1970 (None: now). `lane`: its priority, once it is in a
    queue."""

    name: str
    head: str
    data: bytes
    due: int | None
    lane: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class Catch:
    """The events that were taken. `next_due`: the time of the next due event, in microseconds since 1970; None if no
    event waits."""

    taken: list[Taken]
    next_due: int | None


class Events:
    """The operations on the events of one namespace."""

    def __init__(self, schema: Schema, routing: Routing) -> None:
        self.schema = schema
        self._routing = routing
        self._heads = Heads(schema)
        self._occupied: dict[int, str] = {}
        self._keys = Keys(f"{schema.prefix}.key")

    @staticmethod
    def row(envelope: Envelope, due: datetime | None) -> Row:
        """Return the row of an envelope."""
        event = envelope.event
        time = None if due is None else microseconds(due)
        return Row(event.name, encode_head(envelope), event.data, time, lane_of(event.handling))

    def publish(self, connection: sqlite3.Connection, row: Row) -> None:
        """Write a row for every queue that takes the event. If it is not due yet, write one row that is routed then."""
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
            self._insert(connection, row, lane_name(queue, row.lane), now - COME_DUE)

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

    def take(
        self, connection: sqlite3.Connection, owner: str, rooms: Mapping[str, int], ordered: Collection[str] = ()
    ) -> Catch:
        """Take due events, the oldest of each lane first. `rooms` has the lanes by name and the most events of each.
        Of the `ordered` queues at most the head is taken. An event that became due stays due if the clock is set
        back."""
        now = now_microseconds()
        self._mature(connection, now)
        taken: list[Taken] = []
        dues = [self._next_due(connection, None, now)]
        for queue in ordered:
            dues.append(self._take_head(connection, owner, queue, now, taken))
        for lane in self._not_empty(connection, rooms):
            from_lane = self._take(connection, owner, lane, rooms[lane], now)
            taken += from_lane
            if len(from_lane) < rooms[lane]:
                dues.append(self._next_due(connection, lane, now))
        return Catch(taken, min((due for due in dues if due is not None), default=None))

    def end_turn(self, connection: sqlite3.Connection, number: int) -> None:
        """Let the next event of an ordered queue be taken."""
        self._heads.remove(connection, number)

    def ack(self, connection: sqlite3.Connection, number: int, owner: str) -> None:
        """Delete the event."""
        self._release(connection, number, owner)
        connection.execute(f"DELETE FROM {self.schema.event} WHERE number = ?", (number,))

    def retry(self, connection: sqlite3.Connection, number: int, owner: str, row: Row) -> None:
        """Replace the event by this row."""
        self._release(connection, number, owner)
        connection.execute(
            f"UPDATE {self.schema.event} SET head = ?, due = ?, retries = retries + 1 WHERE number = ?",
            (row.head, row.due, number),
        )

    def retry_in_place(self, connection: sqlite3.Connection, number: int, owner: str, row: Row) -> None:
        """Replace the event at the head of an ordered queue by this row, which keeps its place and waits until it is
        due."""
        self._release(connection, number, owner)
        connection.execute(
            f"UPDATE {self.schema.event} SET head = ?, retries = retries + 1 WHERE number = ?", (row.head, number)
        )
        self._heads.wait(connection, number, row.due or 0)

    def dead_letter(self, connection: sqlite3.Connection, number: int, owner: str, letter: Letter) -> None:
        """Replace the event by an entry in the ledger."""
        self._release(connection, number, owner)
        self._bury(connection, number, letter)

    def give_back(self, connection: sqlite3.Connection, number: int, owner: str) -> None:
        """Release the event. This delivery does not count."""
        given = connection.execute(
            f"UPDATE {self.schema.delivery} SET owner = NULL, count = count - 1 WHERE number = ? AND owner = ?",
            (number, owner),
        )
        _check_held(given, number)

    def backlog(self, connection: sqlite3.Connection) -> dict[str, Backlog]:
        """Count the events of each declared queue. An event that is not routed yet counts for every queue that would
        take it now."""
        return backlogs(connection, self.schema, self._routing, now_microseconds())

    def waiting(self, connection: sqlite3.Connection) -> int:
        """Count the events that are not due yet. An event that is not routed yet counts once."""
        return waiting(connection, self.schema, now_microseconds())

    def purge(self, connection: sqlite3.Connection, queue: str) -> int | None:
        """Delete the events of a queue that are due and not held. Return their number; None if there is no queue."""
        if queue not in self._routing.names(connection):
            return None
        now, event, delivery = now_microseconds(), self.schema.event, self.schema.delivery
        self._mature(connection, now)
        lanes = [lane_name(queue, lane) for lane in LANES]
        ready = f"queue IN (?, ?, ?) AND due <= ? AND number NOT IN (SELECT number FROM {delivery} WHERE owner NOTNULL)"
        purged = connection.execute(f"DELETE FROM {event} WHERE {ready}", (*lanes, now)).rowcount
        connection.execute(f"DELETE FROM {delivery} WHERE owner ISNULL AND number NOT IN (SELECT number FROM {event})")
        return purged

    def _insert(self, connection: sqlite3.Connection, row: Row, queue: str | None, due: int) -> None:
        connection.execute(
            f"INSERT INTO {self.schema.event} (queue, due, name, head, data) VALUES (?, ?, ?, ?, ?)",
            (queue, due, row.name, row.head, row.data),
        )

    def _mature(self, connection: sqlite3.Connection, now: int) -> None:
        """Route events that have become due, to the queues that are declared now."""
        event = self.schema.event
        unrouted = f"SELECT number, CAST(name AS BLOB), CAST(head AS BLOB) FROM {event} WHERE queue ISNULL AND due <= ?"
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

    def _not_empty(self, connection: sqlite3.Connection, lanes: Collection[str]) -> list[str]:
        """Return the lanes that have any event, in order. That costs less than to look into each of many empty ones."""
        if not lanes:
            return []
        query = self._occupied.get(len(lanes))
        if query is None:
            query = self._occupied[len(lanes)] = (
                f"SELECT column1 FROM (VALUES {', '.join(['(?)'] * len(lanes))})"
                f" WHERE EXISTS (SELECT 1 FROM {self.schema.event} WHERE queue = column1)"
            )
        return [lane for (lane,) in connection.execute(query, tuple(lanes))]

    def _take(self, connection: sqlite3.Connection, owner: str, name: str, room: int, now: int) -> list[Taken]:
        queue, _ = queue_and_lane(name)
        taken: list[Taken] = []
        connection.execute(
            f"UPDATE {self.schema.event} SET due = due - {COME_DUE} WHERE number IN (SELECT number"
            f" FROM {self.schema.event} WHERE queue = ? AND due BETWEEN 0 AND ? ORDER BY due LIMIT ?)",
            (name, now, room),
        )
        while len(taken) < room:
            asked = room - len(taken)
            rows = connection.execute(
                f"SELECT event.number, retries, coalesce(count, 0), {CONTENT} FROM {self.schema.event} AS event"
                f" LEFT JOIN {self.schema.delivery} AS delivery ON delivery.number = event.number"
                " WHERE queue = ? AND due <= ? AND owner ISNULL ORDER BY due, event.number LIMIT ?",
                (name, now, asked),
            ).fetchall()
            for row in rows:
                found = read(stored(queue, *row), name)
                if isinstance(found, Letter):
                    self._bury(connection, row[0], found)
                else:
                    taken.append(found)
                    self._hold(connection, found.number, owner)
            if len(rows) < asked:
                break
        return taken

    def _take_head(
        self, connection: sqlite3.Connection, owner: str, queue: str, now: int, taken: list[Taken]
    ) -> int | None:
        """Append the event at the head of an ordered queue to `taken`, if the head is free and due. Return the time of
        the next look, in microseconds since 1970; None if a change will cause it."""
        event = self.schema.event
        lanes = tuple(lane_name(queue, lane) for lane in LANES[1:])  # from a program that does not know of the order
        connection.execute(f"UPDATE {event} SET queue = ? WHERE queue IN (?, ?)", (queue, *lanes))
        while (head := self._heads.of(connection, queue) or self._new_head(connection, queue, now)) is not None:
            if head.until > now:
                return head.until
            row = connection.execute(
                f"SELECT event.number, retries, coalesce(count, 0), {CONTENT}, owner FROM {event} AS event"
                f" LEFT JOIN {self.schema.delivery} AS delivery ON delivery.number = event.number"
                " WHERE event.number = ? AND queue = ?",
                (head.number, queue),
            ).fetchone()
            if row is not None and row[-1] is not None:
                return None
            found = None if row is None else read(stored(queue, *row[:-1]), queue, ordered=True)
            if isinstance(found, Taken):
                taken.append(found)
                self._hold(connection, found.number, owner)
                return None
            if found is not None:
                self._bury(connection, head.number, found)
            self._heads.remove(connection, head.number)
        return self._next_due(connection, queue, now)

    def _new_head(self, connection: sqlite3.Connection, queue: str, now: int) -> Head | None:
        event = self.schema.event
        first = connection.execute(
            f"SELECT number FROM {event} WHERE queue = ? AND due <= ? ORDER BY due, number LIMIT 1", (queue, now)
        ).fetchone()
        if first is None:
            return None
        connection.execute(f"UPDATE {event} SET due = due - {COME_DUE} WHERE number = ? AND due >= 0", first)
        self._heads.put(connection, queue, first[0])
        return Head(first[0], 0)

    def _hold(self, connection: sqlite3.Connection, number: int, owner: str) -> None:
        connection.execute(
            f"INSERT INTO {self.schema.delivery} VALUES (?, ?, 1)"
            " ON CONFLICT DO UPDATE SET owner = excluded.owner, count = count + 1",
            (number, owner),
        )

    def _release(self, connection: sqlite3.Connection, number: int, owner: str) -> None:
        released = connection.execute(
            f"DELETE FROM {self.schema.delivery} WHERE number = ? AND owner = ?", (number, owner)
        )
        _check_held(released, number)

    def _bury(self, connection: sqlite3.Connection, number: int, letter: Letter) -> None:
        LedgerTable(connection, self.schema.ledger_name).append_letter(letter)
        connection.execute(f"DELETE FROM {self.schema.event} WHERE number = ?", (number,))
        connection.execute(f"DELETE FROM {self.schema.delivery} WHERE number = ?", (number,))

    def _bury_unroutable(self, connection: sqlite3.Connection, number: int) -> None:
        content = f"SELECT {CONTENT} FROM {self.schema.event} WHERE number = ?"
        row = connection.execute(content, (number,)).fetchone()
        self._bury(connection, number, unroutable(stored("", number, 0, 0, *row)))

    def _next_due(self, connection: sqlite3.Connection, queue: str | None, now: int) -> int | None:
        found = connection.execute(
            f"SELECT due FROM {self.schema.event} WHERE queue IS ? AND due > ? ORDER BY due LIMIT 1", (queue, now)
        ).fetchone()
        return None if found is None else int(found[0])


def now_microseconds() -> int:
    """Return this machine's clock, in microseconds since 1970."""
    return time.time_ns() // 1000


def _check_held(change: sqlite3.Cursor, number: int) -> None:
    if change.rowcount == 0:
        raise DeliveryLost(f"delivery {number}: its lease is gone, or it was settled before")
