"""Replaces the row of an event by a dead letter, inside the transaction that is open."""

import sqlite3

from bridge.brokers.sqlite.queues.schema import Schema
from bridge.ledger import Letter
from bridge.local_database.ledger_table import LedgerTable


def bury(connection: sqlite3.Connection, schema: Schema, number: int, letter: Letter) -> None:
    """Append the letter to the ledger, and delete the event and its lease."""
    LedgerTable(connection, schema.ledger_name).append_letter(letter)
    connection.execute(f"DELETE FROM {schema.event} WHERE number = ?", (number,))
    connection.execute(f"DELETE FROM {schema.delivery} WHERE number = ?", (number,))
