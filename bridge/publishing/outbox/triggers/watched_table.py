"""A table that gets a trigger: its columns, and the form that each has in the payload of an event. Read from the
database."""

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, inspect, types
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Inspector
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import SAWarning

from bridge.errors import SettingsError, StoreUnavailable
from bridge.publishing.outbox.tables import Tables


class Form(StrEnum):
    """How the values of a column are written. Those of `PLAIN` are numbers and texts, as the database makes JSON of
    them; the others are objects with a tag, by which `events.change()` makes the value again."""

    PLAIN = "plain"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    BITS = "bits"
    DECIMAL = "decimal"
    BYTES = "bytes"
    DATETIME = "datetime"
    DATETIME_UTC = "datetime with a zone"
    DATE = "date"
    TIME = "time"
    UUID = "uuid"
    JSON = "json"


_FORMS: Sequence[tuple[type[types.TypeEngine[Any]], Form]] = (
    (types.JSON, Form.JSON),
    (types.Uuid, Form.UUID),
    (types.Boolean, Form.BOOLEAN),
    (mysql.BIT, Form.BITS),
    (mysql.YEAR, Form.INTEGER),
    (types.Integer, Form.INTEGER),
    (types.Float, Form.PLAIN),  # before Numeric, its base
    (types.Numeric, Form.DECIMAL),
    (types._Binary, Form.BYTES),
    (types.DateTime, Form.DATETIME),
    (types.Date, Form.DATE),
    (types.Time, Form.TIME),
)
"""The form of each type, the first one that fits."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table."""

    name: str
    form: Form


@dataclass(frozen=True, slots=True)
class WatchedTable:
    """`schema` and `outbox_schema` are None where names need no schema. `columns` are those that the events have, and
    `identity` those of the primary key."""

    schema: str | None
    name: str
    outbox_schema: str | None
    outbox: str
    columns: tuple[Column, ...] = ()
    identity: tuple[Column, ...] = ()


def watched_table(given: str, chosen: Sequence[str] | None, of_outbox: Tables, connection: Connection) -> WatchedTable:
    """Return the table of this name, `table` or `schema.table`, with the chosen columns, None: all.

    Raise `SettingsError` for a table or a column that does not exist, and for a table of the outbox itself. Raise
    `StoreUnavailable` if the outbox does not exist.
    """
    inspector, outbox = inspect(connection), of_outbox.outbox.name
    if not inspector.has_table(outbox):
        raise StoreUnavailable(
            f"no table {outbox!r} in this database: expected the outbox, before a trigger writes into it; "
            "`bridge-outbox ddl` prints the statements that make it"
        )
    schema, name = _found(given, inspector, of_outbox)
    if name in of_outbox.metadata.tables:
        raise SettingsError(f"TABLE {given}: expected a table of the app, not of the outbox")
    is_mariadb = connection.dialect.name in ("mariadb", "mysql")
    found = {_unescaped(each["name"], is_mariadb): each["type"] for each in _columns(inspector, name, schema)}
    unknown = [each for each in chosen or () if each not in found]
    if unknown:
        raise SettingsError(f"--columns {unknown[0]}: expected some of {', '.join(found)}")
    key = inspector.get_pk_constraint(name, schema)["constrained_columns"]
    documents = _documents(inspector, name, schema) if is_mariadb else set()
    of_all = {each: Column(each, Form.JSON if each in documents else _form(kind)) for each, kind in found.items()}
    return WatchedTable(
        schema,
        name,
        inspector.default_schema_name if schema or connection.dialect.name == "postgresql" else None,
        outbox,
        _named(of_all, found if chosen is None else chosen),
        _named(of_all, [_unescaped(each, is_mariadb) for each in key]),
    )


def _named(columns: dict[str, Column], names: Iterable[str]) -> tuple[Column, ...]:
    return tuple(columns[name] for name in dict.fromkeys(names))


def _found(given: str, inspector: Inspector, of_outbox: Tables) -> tuple[str | None, str]:
    """Return the schema, None for that of the connection, and the name of a table."""
    schema, _, name = given.partition(".")
    if inspector.has_table(given):
        return None, given
    if name and schema in inspector.get_schema_names() and inspector.has_table(name, schema):
        return schema, name
    of_app = sorted({*inspector.get_table_names()} - of_outbox.metadata.tables.keys())
    known = f"one of {', '.join(of_app)}" if of_app else "a table of the app; this database has none"
    raise SettingsError(f"TABLE {given}: expected {known}")


def _columns(inspector: Inspector, name: str, schema: str | None) -> Sequence[ReflectedColumn]:
    with warnings.catch_warnings(category=SAWarning, action="ignore"):  # about types that SQLAlchemy does not know
        return inspector.get_columns(name, schema)


def _unescaped(name: str, is_mariadb: bool) -> str:
    """Return the name of a column. SQLAlchemy reads those of MariaDB from a statement, and leaves quotes doubled."""
    return name.replace("``", "`") if is_mariadb else name


def _documents(inspector: Inspector, name: str, schema: str | None) -> set[str]:
    """Return the columns of MariaDB that are JSON: those are texts with a check."""
    checks = (each["sqltext"] for each in inspector.get_check_constraints(name, schema))
    found = (re.fullmatch(r"json_valid\(`(.+)`\)", each) for each in checks)
    return {_unescaped(each[1], is_mariadb=True) for each in found if each is not None}


def _form(kind: types.TypeEngine[Any]) -> Form:
    kind = getattr(kind, "data_type", kind)  # of a domain of PostgreSQL
    if isinstance(kind, mysql.TINYINT) and kind.display_width == 1:
        return Form.BOOLEAN
    if isinstance(kind, mysql.TIMESTAMP | mysql.DATETIME):
        return Form.DATETIME
    form = next((form for of_kind, form in _FORMS if isinstance(kind, of_kind)), Form.PLAIN)
    return Form.DATETIME_UTC if form is Form.DATETIME and getattr(kind, "timezone", False) else form
