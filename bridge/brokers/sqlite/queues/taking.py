"""Takes events for a consumer: those that are due, the oldest first, inside the transaction that is open.

Each statement costs the thread a change of threads, so one statement does as much as it can.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bridge.brokers.sqlite.queues.burying import bury
from bridge.brokers.sqlite.queues.decoding import Taken, read, stored
from bridge.brokers.sqlite.queues.heads import Head, Heads
from bridge.brokers.sqlite.queues.lanes import LANES, lane_name, queue_and_lane
from bridge.brokers.sqlite.queues.maturing import Maturing
from bridge.brokers.sqlite.queues.row import COME_DUE, CONTENT, now_microseconds
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.ledger import Letter

_EVER = -(2**63)


@dataclass(frozen=True, slots=True)
class Catch:
    """The events that were taken. `next_due`: the time of the next due event, in microseconds since 1970; None if no
    event waits."""

    taken: list[Taken]
    next_due: int | None


class Taking:
    """The events of one namespace, as consumers see them."""

    def __init__(self, schema: Schema, maturing: Maturing) -> None:
        self._schema = schema
        self._maturing = maturing
        self._heads = Heads(schema)
        event, delivery = schema.event, schema.delivery
        # The index is read from one lane to the next, so that empty lanes, of which there may be many, cost nothing.
        self._survey = (
            f"WITH RECURSIVE lane(lane) AS (SELECT min(queue) FROM {event} WHERE queue > ''"
            f" UNION ALL SELECT (SELECT min(queue) FROM {event} WHERE queue > lane) FROM lane WHERE lane NOTNULL)"
            f" SELECT lane, (SELECT due FROM {event} WHERE queue IS lane AND due >= CASE WHEN lane ISNULL THEN {_EVER}"
            " ELSE 0 END ORDER BY due LIMIT 1) FROM lane"
        )
        self._come_due = (
            f"UPDATE {event} SET due = due - {COME_DUE} WHERE number IN (SELECT number"
            f" FROM {event} WHERE queue = ? AND due BETWEEN 0 AND ? ORDER BY due LIMIT ?)"
        )
        self._oldest = (
            f"SELECT event.number, retries, coalesce(count, 0), {CONTENT} FROM {event} AS event"
            f" LEFT JOIN {delivery} AS delivery ON delivery.number = event.number"
            " WHERE queue = ? AND due <= ? AND owner ISNULL ORDER BY due, event.number LIMIT ?"
        )
        self._lease = (
            f"INSERT INTO {delivery} SELECT value, ?, 1 FROM json_each(?) WHERE true"
            " ON CONFLICT DO UPDATE SET owner = excluded.owner, count = count + 1"
        )

    def take(
        self, connection: sqlite3.Connection, owner: str, rooms: Mapping[str, int], ordered: Collection[str] = ()
    ) -> Catch:
        """Take due events, the oldest of each lane first. `rooms` has the lanes by name and the most events of each.
        Of the `ordered` queues at most the head is taken. An event that became due stays due if the clock is set
        back."""
        now = now_microseconds()
        occupied = self._occupied(connection, now)
        taken: list[Taken] = []
        dues = [occupied.pop(None)]
        for queue in ordered:
            dues.append(self._take_head(connection, owner, queue, now, taken))
        for lane, room in rooms.items():
            if lane in occupied:
                timed = occupied[lane]
                if timed is not None and timed <= now:
                    connection.execute(self._come_due, (lane, now, room))
                    timed = self._next_due(connection, lane, now)
                dues.append(timed)
                taken += self._take(connection, owner, lane, room, now)
        return Catch(taken, min((due for due in dues if due is not None), default=None))

    def _occupied(self, connection: sqlite3.Connection, now: int) -> dict[str | None, int | None]:
        """Return the lanes that have any event, each with the time of the first event that is not marked as due. Under
        None is the time of the first event that waits to be routed. Route those that are due first."""
        occupied: dict[str | None, int | None] = dict(connection.execute(self._survey).fetchall())
        unrouted = occupied[None]
        if unrouted is None or unrouted > now:
            return occupied
        self._maturing.mature(connection, now)
        return dict(connection.execute(self._survey).fetchall())

    def _take(self, connection: sqlite3.Connection, owner: str, name: str, room: int, now: int) -> list[Taken]:
        queue, _ = queue_and_lane(name)
        taken: list[Taken] = []
        while len(taken) < room:
            asked = room - len(taken)
            rows = connection.execute(self._oldest, (name, now, asked)).fetchall()
            found = [read(stored(queue, *row), name) for row in rows]
            self._hold(connection, [row[0] for row in rows], owner)
            for row, each in zip(rows, found, strict=True):
                if isinstance(each, Letter):
                    bury(connection, self._schema, row[0], each)
                else:
                    taken.append(each)
            if len(rows) < asked:
                break
        return taken

    def _take_head(
        self, connection: sqlite3.Connection, owner: str, queue: str, now: int, taken: list[Taken]
    ) -> int | None:
        """Append the event at the head of an ordered queue to `taken`, if the head is free and due. Return the time of
        the next look, in microseconds since 1970; None if a change will cause it."""
        event = self._schema.event
        lanes = tuple(lane_name(queue, lane) for lane in LANES[1:])  # from a program that does not know of the order
        connection.execute(f"UPDATE {event} SET queue = ? WHERE queue IN (?, ?)", (queue, *lanes))
        while (head := self._heads.of(connection, queue) or self._new_head(connection, queue, now)) is not None:
            if head.until > now:
                return head.until
            row = connection.execute(
                f"SELECT event.number, retries, coalesce(count, 0), {CONTENT}, owner FROM {event} AS event"
                f" LEFT JOIN {self._schema.delivery} AS delivery ON delivery.number = event.number"
                " WHERE event.number = ? AND queue = ?",
                (head.number, queue),
            ).fetchone()
            if row is not None and row[-1] is not None:
                return None
            found = None if row is None else read(stored(queue, *row[:-1]), queue, ordered=True)
            if isinstance(found, Taken):
                taken.append(found)
                self._hold(connection, [found.number], owner)
                return None
            if found is not None:
                bury(connection, self._schema, head.number, found)
            self._heads.remove(connection, head.number)
        return self._next_due(connection, queue, now)

    def _new_head(self, connection: sqlite3.Connection, queue: str, now: int) -> Head | None:
        event = self._schema.event
        first = connection.execute(
            f"SELECT number FROM {event} WHERE queue = ? AND due <= ? ORDER BY due, number LIMIT 1", (queue, now)
        ).fetchone()
        if first is None:
            return None
        connection.execute(f"UPDATE {event} SET due = due - {COME_DUE} WHERE number = ? AND due >= 0", first)
        self._heads.put(connection, queue, first[0])
        return Head(first[0], 0)

    def _hold(self, connection: sqlite3.Connection, numbers: Sequence[int], owner: str) -> None:
        if numbers:
            connection.execute(self._lease, (owner, json.dumps(numbers)))

    def _next_due(self, connection: sqlite3.Connection, lane: str, now: int) -> int | None:
        found = connection.execute(
            f"SELECT due FROM {self._schema.event} WHERE queue = ? AND due > ? ORDER BY due LIMIT 1", (lane, now)
        ).fetchone()
        return None if found is None else int(found[0])
