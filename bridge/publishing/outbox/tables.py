"""The tables of the outbox in the app's database, and the statements that make them.

`NAMESPACE_outbox` has the events that are committed and not published yet, in the order of their insertion.
`NAMESPACE_once` has the marks of listeners that ran once, `NAMESPACE_keys` the keys that events hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from bridge.handling import MAX_KEY
from bridge.reply import MAX_LISTENER_NAME
from bridge.topics import MAX_NAME_BYTES

MAX_EVENT_ID = 255
"""Characters. Ids of `defer()` have 36. Those of foreign publishers may be longer."""

DIALECTS: Mapping[str, type[Dialect]] = {
    "postgresql": postgresql.dialect,
    "mysql": mysql.dialect,
    "mariadb": mysql.dialect,
    "sqlite": sqlite.dialect,
}

_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_DATA = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
_OPTIONS = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
_FOR_MARIADB: dict[str, Any] = {
    f"{dialect}_{option}": value for dialect in ("mysql", "mariadb") for option, value in _OPTIONS.items()
}

_NOTIFY = """
CREATE FUNCTION "%(name)s_notify"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY "%(name)s";
    RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER "%(name)s_notify" AFTER INSERT ON "%(name)s"
FOR EACH STATEMENT EXECUTE FUNCTION "%(name)s_notify"()
"""
_DROP = 'DROP FUNCTION IF EXISTS "%(name)s_notify"() CASCADE'


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one namespace, and their metadata. `metadata.create_all()` makes them as `statements()` does."""

    metadata: MetaData
    outbox: Table
    once: Table
    keys: Table


@cache
def tables(namespace: str) -> Tables:
    """Return the tables of a namespace. They are the same objects at each call."""
    metadata = MetaData()
    outbox = Table(
        f"{namespace}_outbox",
        metadata,
        Column("number", _NUMBER, Identity(), primary_key=True),
        Column("name", String(MAX_NAME_BYTES), nullable=False),
        Column("event_key", String(MAX_KEY)),
        Column("head", Text, nullable=False),
        Column("data", _DATA, nullable=False),
        **_FOR_MARIADB,
    )
    has_key = outbox.c.event_key.is_not(None)
    Index(f"{namespace}_outbox_key", outbox.c.event_key, postgresql_where=has_key, sqlite_where=has_key)
    once = Table(
        f"{namespace}_once",
        metadata,
        Column("event_id", String(MAX_EVENT_ID), primary_key=True),
        Column("listener", String(MAX_LISTENER_NAME), primary_key=True),
        Column("done_at", DateTime, nullable=False, index=True),
        **_FOR_MARIADB,
    )
    keys = Table(
        f"{namespace}_keys",
        metadata,
        Column("name", String(MAX_NAME_BYTES), primary_key=True),
        Column("event_key", String(MAX_KEY), primary_key=True),
        Column("event_id", String(MAX_EVENT_ID), nullable=False),
        Column("until", DateTime, nullable=False, index=True),
        **_FOR_MARIADB,
    )
    for statement in _notifying(outbox.name):
        event.listen(outbox, "after_create", _on_postgresql(statement))
    event.listen(outbox, "after_drop", _on_postgresql(_DROP % {"name": outbox.name}))
    return Tables(metadata, outbox, once, keys)


def statements(dialect: str, namespace: str) -> list[str]:
    """Return the statements that make the tables, without semicolons. Raise `KeyError` for a dialect that is not in
    `DIALECTS`."""
    of_namespace, compiled_for = tables(namespace), DIALECTS[dialect]()
    made: list[Any] = []
    for table in (of_namespace.outbox, of_namespace.once, of_namespace.keys):
        made.append(CreateTable(table))
        made += [CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name))]
    texts = [str(each.compile(dialect=compiled_for)).strip() for each in made]
    return texts + (_notifying(of_namespace.outbox.name) if dialect == "postgresql" else [])


def _notifying(outbox: str) -> list[str]:
    """Return the statements of PostgreSQL by which a commit with new events wakes the relay."""
    return [(each % {"name": outbox}).strip() for each in (_NOTIFY, _TRIGGER)]


def _on_postgresql(statement: str) -> Any:
    ddl: Any = DDL  # which has no types
    return ddl(statement.replace("%", "%%")).execute_if(dialect="postgresql")
