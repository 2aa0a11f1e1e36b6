"""A SQLite file as a test uses it from outside: an operator's hands, and raw rows."""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class SqliteSite:
    """One file of a test's own."""

    url: str
    namespace: str = "bridge"

    @property
    def path(self) -> Path:
        """Where the file is."""
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

    def remove(self) -> None:
        """Remove the file, and what belongs to it."""
        for part in ("", "-shm", "-wal"):
            self.path.with_name(self.path.name + part).unlink()

    def connection(self) -> sqlite3.Connection:
        """A connection as any program may make one."""
        return sqlite3.connect(self.path, timeout=10.0, isolation_level=None)
