"""An app whose listeners run once, and defer in the transaction of their effects. The test copies it into its site."""

import os

from flask import Flask
from sqlalchemy import String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from deferred_event_bridge import DeferredEvents, Event


class Base(DeclarativeBase):
    """The app's tables."""


class Effect(Base):
    """One record for each time that a listener ran to its end."""

    __tablename__ = "effect"
    id: Mapped[int] = mapped_column(primary_key=True)
    listener: Mapped[str] = mapped_column(String(10))
    number: Mapped[int]


sessions = sessionmaker(create_engine(os.environ.get("DATABASE", "sqlite://"), pool_pre_ping=True))
app = Flask(__name__)
events = DeferredEvents(app)


@events.on("order.paid", once=sessions)
def pay(event: Event, session: Session) -> None:
    """Note the order, and defer the mail."""
    session.add(Effect(listener="pay", number=event.payload))
    events.defer("mail.asked", event.payload, session=session)


@events.on("mail.asked", once=sessions)
def mail(event: Event, session: Session) -> None:
    """Note the mail."""
    session.add(Effect(listener="mail", number=event.payload))
