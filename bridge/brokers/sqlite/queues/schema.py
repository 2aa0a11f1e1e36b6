"""The tables: their names and their columns. Each namespace has its own tables, so two namespaces can use one file.

`queue` has the declared queues. `event` has a row for each event and queue: its `queue` is the name of the queue's lane
(see `lanes`), or NULL while the event waits to be routed by its name when it is due. `due` is in microseconds since
1970, minus `row.COME_DUE` once that time has come. `delivery` has a row for each event that is held (by `owner`) or
was held before (`owner` is NULL): taking an event that is due already writes only there, and does not change the
event's own row. `head` has the events at the heads of ordered queues; it is made when an
ordered queue is declared. `ledger` is in `ledger_table`.
"""

import sqlite3

from bridge.errors import BrokerRefused
from bridge.local_database.ledger_table import LedgerTable

VERSION = 1


class Schema:
    """The names of one namespace's tables, quoted for SQL."""

    def __init__(self, namespace: str) -> None:
        # SQLite ignores case in names of tables; namespaces do not.
        prefix = "".join(f"^{letter.lower()}" if letter.isupper() else letter for letter in namespace)
        self.prefix = prefix
        self.ledger_name = f"{prefix}.ledger"
        self.queue = _quoted(f"{prefix}.queue")
        self.event = _quoted(f"{prefix}.event")
        self.delivery = _quoted(f"{prefix}.delivery")
        self.head = _quoted(f"{prefix}.head")
        self._due_index = _quoted(f"{prefix}.event.due")
        self._version_name = f"{prefix}.version"
        self._version = _quoted(self._version_name)

    def version_in(self, connection: sqlite3.Connection) -> int | None:
        """Return the version of the existing tables; None if there are none."""
        there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (self._version_name,)).fetchone()
        found = there and connection.execute(f"SELECT version FROM {self._version}").fetchone()
        return found[0] if found else None

    def create(self, connection: sqlite3.Connection) -> None:
        """Create missing tables in the transaction that is open. Raise `BrokerRefused` if the tables are of another
        version."""
        connection.execute(f"CREATE TABLE IF NOT EXISTS {self._version} (version INTEGER NOT NULL)")
        found = connection.execute(f"SELECT version FROM {self._version}").fetchone()
        if found is not None and found[0] != VERSION:
            raise BrokerRefused(f"its tables are of version {found[0]}, this program knows version {VERSION}")
        if found is None:
            self._create_tables(connection)

    def create_heads(self, connection: sqlite3.Connection) -> None:
        """Create the table of heads, if it is missing."""
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.head}"
            " (queue TEXT PRIMARY KEY, number INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID"
        )

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"INSERT INTO {self._version} VALUES ({VERSION})")
        connection.execute(f"CREATE TABLE {self.queue} (name TEXT PRIMARY KEY, patterns TEXT NOT NULL) WITHOUT ROWID")
        # AUTOINCREMENT: a token is made of the number, so a number is never used again. The data are the last column:
        # reading the other columns then does not read the overflow pages of large data.
        connection.execute(
            f"CREATE TABLE {self.event} (number INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT, due INTEGER NOT NULL,"
            " retries INTEGER NOT NULL DEFAULT 0, name TEXT NOT NULL, head TEXT NOT NULL, data BLOB NOT NULL)"
        )
        connection.execute(f"CREATE INDEX {self._due_index} ON {self.event} (queue, due)")
        connection.execute(
            f"CREATE TABLE {self.delivery} (number INTEGER PRIMARY KEY, owner TEXT, count INTEGER NOT NULL)"
        )
        LedgerTable(connection, self.ledger_name).create()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
