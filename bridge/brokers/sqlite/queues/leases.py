"""Leases: a consumer owns the events that it has taken while it holds the lock on its file next to the database. When
it ends, the kernel releases the lock, and the next heartbeat of another consumer releases its events. There is no clock
and no renewal.

The lock file is also the consumer's wake-up (`local_database.wakeups`). The owner in the table is in the file's name.
"""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from bridge.brokers.sqlite.queues.schema import Schema
from bridge.local_database.lock_file import remove_if_free
from bridge.local_database.private_files import FileAccess
from bridge.local_database.wakeups import CONSUMER_MARK


def sweep(connection: sqlite3.Connection, schema: Schema, database: Path) -> list[str]:
    """Remove the lock files of consumers that have ended. Return the owners of events that have no living consumer."""
    # The owners first: each owner in the table had a file before, so an owner without a file below has ended.
    owners = [
        owner for (owner,) in connection.execute(f"SELECT DISTINCT owner FROM {schema.delivery} WHERE owner NOTNULL")
    ]
    beginning = database.name + CONSUMER_MARK
    names = [entry.name for entry in os.scandir(database.parent) if entry.name.startswith(beginning)]
    access = FileAccess.like(database)
    alive = {name.removeprefix(beginning) for name in names if not remove_if_free(database.with_name(name), access)}
    return [owner for owner in owners if owner not in alive]


def let_go(connection: sqlite3.Connection, schema: Schema, owners: Sequence[str]) -> None:
    """Release all events of these owners at once. Their delivery still counts."""
    connection.executemany(f"UPDATE {schema.delivery} SET owner = NULL WHERE owner = ?", [(owner,) for owner in owners])
