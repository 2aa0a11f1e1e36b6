"""The tables of the outbox for the app's own migrations and tests."""

from sqlalchemy import MetaData

from bridge.publishing.outbox import tables


def metadata(namespace: str = "bridge") -> MetaData:
    """Return the tables of a namespace: `metadata().create_all(engine)` makes them."""
    return tables.tables(namespace).metadata


def statements(dialect: str, namespace: str = "bridge") -> list[str]:
    """Return the statements that make the tables, as `bridge-outbox ddl` prints them. `dialect` is `postgresql`,
    `mariadb`, `mysql` or `sqlite`. Raise `KeyError` for any other."""
    return tables.statements(dialect, namespace)
