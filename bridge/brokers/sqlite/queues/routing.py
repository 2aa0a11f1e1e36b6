"""The declared queues in the database, and the routing of events to them. The web process and the worker both declare
them from the same `bridge.toml`; the last declaration is valid.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from bridge.brokers.sqlite.queues.schema import Schema
from bridge.queues import Queue, route


class Routing:
    """The queues of one database file. Used only on the database thread."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._rows: list[Any] = []
        self._route = _router(())
        self._names: frozenset[str] = frozenset()

    def declare(self, connection: sqlite3.Connection, queues: Sequence[Queue]) -> None:
        """Write these queues with their patterns, and leave other queues unchanged."""
        if any(queue.ordered for queue in queues):
            self._schema.create_heads(connection)
        connection.executemany(
            f"INSERT OR REPLACE INTO {self._schema.queue} VALUES (?, ?)",
            [(queue.name, json.dumps(queue.patterns)) for queue in queues],
        )

    def names(self, connection: sqlite3.Connection) -> frozenset[str]:
        """Return the names of all queues."""
        self._refresh(connection)
        return self._names

    def of(self, connection: sqlite3.Connection) -> Callable[[str], tuple[str, ...]]:
        """Return the function from an event's name to the queues that take it, as declared in this transaction."""
        self._refresh(connection)
        return self._route

    def _refresh(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(f"SELECT name, patterns FROM {self._schema.queue} ORDER BY name").fetchall()
        if rows == self._rows:
            return
        queues = tuple(Queue(name, tuple(json.loads(patterns))) for name, patterns in rows)
        self._rows, self._route, self._names = rows, _router(queues), frozenset(queue.name for queue in queues)


def _router(queues: tuple[Queue, ...]) -> Callable[[str], tuple[str, ...]]:
    return lru_cache(maxsize=1024)(lambda name: route(queues, name))
