"""Inserts a row unless its primary key is there, in each dialect. A row that another transaction has inserted and not
committed yet is waited for."""

from typing import Any

from sqlalchemy import Insert, Table, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def inserted(session: Session, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row in the session's transaction; return False if its primary key is there."""
    dialect = session.get_bind(clause=table.insert()).dialect.name
    statement = _unless_there(dialect, table).values(values)
    result: Any = session.execute(statement, execution_options={"preserve_rowcount": True})
    return bool(result.rowcount)


def _unless_there(dialect: str, table: Table) -> Insert:
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return insert(table).prefix_with("IGNORE")
