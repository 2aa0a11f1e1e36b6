"""An SQLite file as a test uses it from outside, like an operator, and with raw rows."""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.limits import PATIENCE


@dataclass
class SqliteSite:
    """The SQLite file of one test."""

    url: str
    namespace: str = "bridge"

    @property
    def path(self) -> Path:
        """The path of the file."""
        return Path(unquote(urlsplit(self.url).path[1:]))

    async def drop_queue(self, name: str) -> None:
        with closing(self.connection()) as connection:
            connection.execute(f'DELETE FROM "{self.namespace}.queue" WHERE name = ?', (name,))
            connection.execute(f'DELETE FROM "{self.namespace}.event" WHERE queue = ?', (name,))

    async def put_raw(self, queue: str, name: str, head: str, data: bytes) -> None:
        with closing(self.connection()) as connection:
            connection.execute(
                f'INSERT INTO "{self.namespace}.event" (queue, due, name, head, data) VALUES (?, ?, ?, ?, ?)',
                (queue, time.time_ns() // 1000, name, head, data),
            )

    async def append_raw(self, log: str, data: bytes) -> None:
        with closing(self.connection()) as connection:
            connection.execute(
                f'INSERT INTO "{self.namespace}.log.{log}" (time, total, data) VALUES (?, 0, ?)',
                (time.time_ns() // 1000, data),
            )

    async def drop_log(self, log: str) -> None:
        with closing(self.connection()) as connection:
            connection.execute(f'DROP TABLE IF EXISTS "{self.namespace}.log.{log}"')

    async def broadcast_raw(self, subject: str, data: bytes) -> None:
        with closing(self.connection()) as connection:
            connection.execute(
                f'INSERT INTO "{self.namespace}.broadcast" (time, subject, asks, data) VALUES (?, ?, 0, ?)',
                (time.time_ns() // 1000, subject, data),
            )

    def remove(self) -> None:
        """Remove the file and the files that belong to it."""
        for part in ("", "-shm", "-wal"):
            self.path.with_name(self.path.name + part).unlink()

    def connection(self) -> sqlite3.Connection:
        """Open a connection as a foreign program would."""
        return sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
