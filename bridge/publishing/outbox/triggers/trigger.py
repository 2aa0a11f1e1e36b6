"""A trigger: what it watches, the names of its events, and its statements."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from bridge.handling import MAX_KEY
from bridge.publishing.outbox.triggers.watched_table import Form, WatchedTable

PAST: Mapping[str, str] = {"insert": "inserted", "update": "updated", "delete": "deleted"}
"""The last word of the events of each operation."""

_SHORT = re.compile(r"[A-Za-z0-9_]{1,55}")


@dataclass(frozen=True, slots=True)
class Trigger:
    """`word` is the first word of the events' names, and `source` the program that they come from."""

    table: WatchedTable
    operations: tuple[str, ...]
    word: str
    source: str

    def event_name(self, operation: str) -> str:
        """Return the name of the events of an operation."""
        return f"{self.word}.{PAST[operation]}"

    @property
    def has_long_keys(self) -> bool:
        """True if the word and the parts of the primary key, numbers and MD5 sums, may be longer than a key of an
        event. The database would refuse the event, and with it the app's own statement."""
        parts = (21 if each.form is Form.INTEGER else 33 for each in self.table.identity)
        return len(self.word) + sum(parts) > MAX_KEY

    def name(self, what: str) -> str:
        """Return the name of the trigger for `what`, of at most 63 bytes, as PostgreSQL needs it."""
        parts = [self.table.outbox, self.table.schema, self.table.name, what]
        readable = f"{self.table.outbox}_{self.table.name}_{what}"
        if self.table.schema is None and _SHORT.fullmatch(readable):
            return readable
        return f"bridge_{sha256(repr(parts).encode('utf-8', 'surrogatepass')).hexdigest()[:20]}_{what}"


def double_quoted(name: str) -> str:
    """Return a name as PostgreSQL and SQLite quote it."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a text as PostgreSQL and SQLite write it."""
    return "'" + value.replace("'", "''") + "'"
