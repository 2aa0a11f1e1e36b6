"""The rows that a file gives away: holds them, deletes them and frees them. Each method has the SQL of one operation,
inside the transaction that is open.

A row is held like a consumer's delivery, by an owner whose lock file shows that it lives (`queues.leases`).
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bridge.brokers.contract.emptying import Catch, HeldEvent
from bridge.brokers.sqlite.queues.burying import bury
from bridge.brokers.sqlite.queues.decoding import read, stored
from bridge.brokers.sqlite.queues.heads import Head, Heads
from bridge.brokers.sqlite.queues.lanes import LANES, lane_name, queue_and_lane
from bridge.brokers.sqlite.queues.maturing import Maturing
from bridge.brokers.sqlite.queues.row import CONTENT, now_microseconds
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.brokers.sqlite.queues.settling import Settling
from bridge.ledger import Letter

BATCH_BYTES = 8 * 1024**2
"""Bytes of data after which a batch ends."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


@dataclass(slots=True)
class _Batch:
    """The events that one look has taken so far, and the room for more."""

    room: int
    now: int
    ordered: Collection[str]
    data: int = 0
    events: list[HeldEvent] = field(default_factory=list)
    waits: dict[str, datetime] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        return self.room <= 0 or self.data >= BATCH_BYTES


class HeldRows:
    """The rows of one namespace, as a process sees them that empties the file."""

    def __init__(self, schema: Schema, maturing: Maturing) -> None:
        self._schema = schema
        self._maturing = maturing
        self._heads = Heads(schema)
        self._settling = Settling(schema)
        event, delivery = schema.event, schema.delivery
        self._rows = (
            f"SELECT event.number, due, retries, coalesce(count, 0), {CONTENT} FROM {event} AS event"
            f" LEFT JOIN {delivery} AS delivery ON delivery.number = event.number WHERE owner ISNULL AND "
        )
        self._lease = (
            f"INSERT INTO {delivery} SELECT value, ?, 0 FROM json_each(?) WHERE true"
            " ON CONFLICT DO UPDATE SET owner = excluded.owner"
        )
        self._lanes = (
            f"WITH RECURSIVE lane(lane) AS (SELECT min(queue) FROM {event} WHERE queue > ''"
            f" UNION ALL SELECT (SELECT min(queue) FROM {event} WHERE queue > lane) FROM lane WHERE lane NOTNULL)"
            " SELECT lane FROM lane WHERE lane NOTNULL"
        )

    def hold(
        self,
        connection: sqlite3.Connection,
        owner: str,
        most: int,
        ordered: Collection[str],
        without: Collection[str],
    ) -> Catch:
        """Take the next events. No consumer lives, so what another owner holds is free."""
        connection.execute(
            f"UPDATE {self._schema.delivery} SET owner = NULL WHERE owner NOTNULL AND owner <> ?", (owner,)
        )
        self._schema.create_heads(connection)
        batch = _Batch(most, now_microseconds(), ordered)
        self._maturing.mature(connection, batch.now)
        lanes: list[str] = [lane for (lane,) in connection.execute(self._lanes)]
        free: list[str | None] = []
        for queue, own in _by_queue(lanes):
            if queue in without:
                continue
            head = self._heads.of(connection, queue)
            if head is None and queue not in ordered:
                free += own
            else:
                self._take_in_order(connection, owner, batch, queue, head)
        for due in ("due <= ?", "due > ?"):
            for lane in free if "" in without else (*free, None):
                self._take(connection, owner, batch, lane, due, (batch.now,))
        return Catch(batch.events, 0, batch.waits)

    def remove(self, connection: sqlite3.Connection, owner: str, numbers: Collection[int]) -> None:
        """Delete those of these rows that the owner holds."""
        for number in self._settling.ack_all(connection, list(numbers), owner):
            self._heads.remove(connection, number)

    def release(self, connection: sqlite3.Connection, owner: str, numbers: Collection[int] | None = None) -> None:
        """Free these rows that the owner holds (None: all of them)."""
        held, given = "owner = ?", [owner]
        if numbers is not None:
            held, given = "owner = ? AND number IN (SELECT value FROM json_each(?))", [owner, json.dumps(list(numbers))]
        connection.execute(f"DELETE FROM {self._schema.delivery} WHERE {held} AND count = 0", given)
        connection.execute(f"UPDATE {self._schema.delivery} SET owner = NULL WHERE {held}", given)

    def _take_in_order(
        self, connection: sqlite3.Connection, owner: str, batch: _Batch, queue: str, head: Head | None
    ) -> None:
        """Take the head of an ordered queue, then its other events. While the head waits for its retry, take nothing:
        the other broker would run the events after it first."""
        if head is not None and head.until > batch.now:
            batch.waits[queue] = _moment(head.until)
            return
        lanes = tuple(lane_name(queue, lane) for lane in LANES[1:])  # from a program that does not know of the order
        connection.execute(f"UPDATE {self._schema.event} SET queue = ? WHERE queue IN (?, ?)", (queue, *lanes))
        if head is not None:
            self._take(connection, owner, batch, queue, "event.number = ?", (head.number,))
        self._take(connection, owner, batch, queue, "true", ())

    def _take(
        self,
        connection: sqlite3.Connection,
        owner: str,
        batch: _Batch,
        lane: str | None,
        condition: str,
        given: Sequence[int],
    ) -> None:
        """Take events of a lane (None: those that are not routed yet) in its order."""
        while not batch.full:
            found, letters = self._read(connection, batch, lane, condition, given)
            if found:
                connection.execute(self._lease, (owner, json.dumps(found)))
            if not letters:
                return

    def _read(
        self, connection: sqlite3.Connection, batch: _Batch, lane: str | None, condition: str, given: Sequence[int]
    ) -> tuple[list[int], int]:
        """Add events to the batch; return their numbers, and how many rows became dead letters instead."""
        queue = "" if lane is None else queue_and_lane(lane)[0]
        rows = connection.execute(
            f"{self._rows} queue IS ? AND {condition} ORDER BY due, event.number LIMIT ?", (lane, *given, batch.room)
        )
        numbers: list[int] = []
        unreadable: list[tuple[int, Letter]] = []
        for number, due, retries, count, *content in rows:
            found = read(stored(queue, number, retries, count, *content), lane or "")
            if isinstance(found, Letter):
                unreadable.append((number, found))
                continue
            when = None if due <= batch.now else _moment(due)
            batch.events.append(HeldEvent(number, found.envelope, queue, when, queue in batch.ordered))
            numbers.append(number)
            batch.room -= 1
            batch.data += len(found.envelope.event.data)
            if batch.full:
                break
        for number, letter in unreadable:
            bury(connection, self._schema, number, letter)
        return numbers, len(unreadable)


def _by_queue(lanes: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each queue with its lanes."""
    queues: dict[str, list[str]] = {}
    for lane in lanes:
        queues.setdefault(queue_and_lane(lane)[0], []).append(lane)
    yield from queues.items()


def _moment(microseconds: int) -> datetime:
    """Return the time; the last one that there is for any later one."""
    return _EPOCH + timedelta(microseconds=min(microseconds, _LAST))
