"""Settles the events that consumers hold. Each method has the SQL of one settlement, or of many, inside the
transaction that is open. A method for one event raises `DeliveryLost`, before it writes anything, if the owner does not
hold the event.
"""

import json
import sqlite3
from collections.abc import Sequence

from bridge.brokers.sqlite.queues.burying import bury
from bridge.brokers.sqlite.queues.heads import Heads
from bridge.brokers.sqlite.queues.row import Row
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.errors import DeliveryLost
from bridge.ledger import Letter


class Settling:
    """The held events of one namespace."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._heads = Heads(schema)
        numbers = "number IN (SELECT value FROM json_each(?))"
        self._held = f"SELECT json_group_array(number) FROM {schema.delivery} WHERE {numbers} AND owner = ?"
        self._deletions = (
            f"DELETE FROM {schema.delivery} WHERE {numbers}",
            f"DELETE FROM {schema.event} WHERE {numbers}",
        )

    def ack_all(self, connection: sqlite3.Connection, numbers: Sequence[int], owner: str) -> set[int]:
        """Delete those of these events that the owner holds, and return their numbers."""
        # All numbers are one row, because each row costs a change of threads.
        found = connection.execute(self._held, (json.dumps(numbers), owner)).fetchone()
        held = set(json.loads(found[0]))
        if held:
            for deletion in self._deletions:
                connection.execute(deletion, found)
        return held

    def ack(self, connection: sqlite3.Connection, number: int, owner: str) -> None:
        """Delete the event."""
        if not self.ack_all(connection, [number], owner):
            raise lost(number)

    def end_turn(self, connection: sqlite3.Connection, number: int) -> None:
        """Let the next event of an ordered queue be taken."""
        self._heads.remove(connection, number)

    def retry(self, connection: sqlite3.Connection, number: int, owner: str, row: Row) -> None:
        """Replace the event by this row."""
        self._release(connection, number, owner)
        connection.execute(
            f"UPDATE {self._schema.event} SET head = ?, due = ?, retries = retries + 1 WHERE number = ?",
            (row.head, row.due, number),
        )

    def retry_in_place(self, connection: sqlite3.Connection, number: int, owner: str, row: Row) -> None:
        """Replace the event at the head of an ordered queue by this row, which keeps its place and waits until it is
        due."""
        self._release(connection, number, owner)
        connection.execute(
            f"UPDATE {self._schema.event} SET head = ?, retries = retries + 1 WHERE number = ?", (row.head, number)
        )
        self._heads.wait(connection, number, row.due or 0)

    def dead_letter(self, connection: sqlite3.Connection, number: int, owner: str, letter: Letter) -> None:
        """Replace the event by an entry in the ledger."""
        self._release(connection, number, owner)
        bury(connection, self._schema, number, letter)

    def give_back(self, connection: sqlite3.Connection, number: int, owner: str) -> None:
        """Release the event. This delivery does not count."""
        given = connection.execute(
            f"UPDATE {self._schema.delivery} SET owner = NULL, count = count - 1 WHERE number = ? AND owner = ?",
            (number, owner),
        )
        if given.rowcount == 0:
            raise lost(number)

    def _release(self, connection: sqlite3.Connection, number: int, owner: str) -> None:
        released = connection.execute(
            f"DELETE FROM {self._schema.delivery} WHERE number = ? AND owner = ?", (number, owner)
        )
        if released.rowcount == 0:
            raise lost(number)


def lost(number: int) -> DeliveryLost:
    """Return the error for an event that its consumer does not hold any more."""
    return DeliveryLost(f"delivery {number}: its lease is gone, or it was settled before")
