"""An app that takes money once for an order, in the database that `SHOP` names, and then waits for the file `go`."""

import os
import time
from pathlib import Path

from flask import Flask
from sqlalchemy import NullPool, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from app_adapter import DeferredEvents, Event
from bridge.publishing.outbox.tables import tables

app = Flask(__name__)
events = DeferredEvents(app)
engine = create_engine(os.environ["SHOP"], poolclass=NullPool)


class Base(DeclarativeBase):
    """The app's tables."""


class Payment(Base):
    """One record for each time that money was taken."""

    __tablename__ = "payment"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    event: Mapped[str] = mapped_column(String(100))


Base.metadata.create_all(engine)
tables(app.extensions["deferred_events"].settings.values.namespace).metadata.create_all(engine)


@events.on("order.paid", once=sessionmaker(engine), priority=1)
def take_money(event: Event, session: Session) -> None:
    session.add(Payment(event=event.id))


@events.on("order.paid")
def send(event: Event) -> str:
    Path("taken").touch()
    while not Path("go").exists():
        time.sleep(0.02)
    return "sent"


@events.on("nothing.answered")
def nothing(event: Event) -> None:
    """Answer nothing."""
