"""The app's own database in an ordeal: orders, the effects of listeners, and the outbox. The app writes them, and the
drain notes what is there."""

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, NullPool, String, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from app_adapter.outgoing import Outgoing
from app_adapter.sqlalchemy.outbox import write
from bridge.event import Event
from bridge.publishing.outbox.tables import tables
from tests.database_server import DatabaseServer

VARIABLE = "FAULTS_DATABASE"
"""The environment variable with the URL of the app's database."""

CALLED, DECORATED, FOLLOWED = LISTENERS = ("called", "decorated", "followed")
"""The listeners with an effect: one calls `events.once()`, one has `once=`, and one is that of a further event."""


class Base(DeclarativeBase):
    """The app's tables."""


class Order(Base):
    """One record for each request that was committed."""

    __tablename__ = "orders"
    key: Mapped[str] = mapped_column(String(100), primary_key=True)


class Effect(Base):
    """One record for each time that a listener ran and was committed."""

    __tablename__ = "effects"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    listener: Mapped[str] = mapped_column(String(10))
    key: Mapped[str] = mapped_column(String(100))


def sessions_of_environment() -> "sessionmaker[Session]":
    """Return what makes the app's sessions. A connection that was cut off is replaced."""
    return sessionmaker(create_engine(os.environ[VARIABLE], pool_size=4, pool_pre_ping=True))


class AppDatabase:
    """The database of one ordeal on a server, with the tables of the app and of its outbox."""

    def __init__(self, server: DatabaseServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self.url = server.new_database()
        self._engine: Engine = create_engine(self.url, poolclass=NullPool)
        self._outbox = tables(namespace).outbox
        Base.metadata.create_all(self._engine)
        tables(namespace).metadata.create_all(self._engine)

    def defer(self, key: str, event: Event) -> None:
        """Commit an order and its event, as the app does."""
        with Session(self._engine) as session:
            session.add(Order(key=key))
            write(session, self.namespace, [Outgoing(event)])
            session.commit()

    def waiting(self) -> int:
        """Return the number of events in the outbox."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(self._outbox)).scalar_one()

    def stored(self) -> Sequence[dict[str, Any]]:
        """Return for each key whether its order is committed, and the count of its effects by listener."""
        counted: dict[str, dict[str, int]] = defaultdict(dict)
        with self._engine.connect() as connection:
            orders = set(connection.execute(select(Order.key)).scalars())
            rows = select(Effect.key, Effect.listener, func.count()).group_by(Effect.key, Effect.listener)
            for key, listener, count in connection.execute(rows):
                counted[key][listener] = count
        return [
            {"key": key, "committed": key in orders, "effects": counted.get(key, {})}
            for key in sorted(orders | counted.keys())
        ]

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()
