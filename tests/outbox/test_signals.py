"""Signals with a session: a receiver is deferred exactly if the transaction of the sender is committed."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from blinker import NamedSignal
from flask import Flask
from sqlalchemy import Engine, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    object_session,
    scoped_session,
    sessionmaker,
)

from app_adapter import DeferError, DeferredEvents, InvalidPayload
from bridge.outcome import Succeeded
from bridge.publishing.outbox.tables import tables

OUTBOX = tables("bridge").outbox
RECEIPT = f"signal.order-paid.{__name__}.send_receipt"
BILL = f"signal.order-paid.{__name__}.write_bill"

received: list[tuple[str, Any]] = []


class Base(DeclarativeBase):
    """The app's own tables."""


class Order(Base):
    """A record that signals carry."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)


def send_receipt(sender: Any, order: Any) -> None:
    """Note the call."""
    received.append(("send_receipt", order))


def write_bill(sender: Any, order: Any) -> None:
    """Note the call."""
    received.append(("write_bill", order))


@pytest.fixture
def events(engine: Engine) -> Iterator[DeferredEvents]:
    """The events of an app whose database has an order table. Orders travel by their id."""
    received.clear()
    Base.metadata.create_all(engine)
    events = DeferredEvents(app := Flask("shop"))
    events.codec(Order, lambda order: order.id, lambda identity: f"order {identity}")
    with app.app_context():
        yield events


@pytest.fixture
def order_paid() -> NamedSignal:
    """A signal without receivers."""
    return NamedSignal("order-paid")


def written(engine: Engine) -> list[tuple[str, Any]]:
    """Return the names of the events in the outbox, in order, each with the arguments of its signal."""
    with engine.connect() as connection:
        rows = connection.execute(select(OUTBOX.c.name, OUTBOX.c.data).order_by(OUTBOX.c.number))
        return [(row.name, json.loads(row.data)["arguments"]) for row in rows]


def test_a_deferred_receiver_commits_with_the_sender(
    engine: Engine, events: DeferredEvents, order_paid: NamedSignal
) -> None:
    """By a scoped session. Each receiver has its event, a rollback takes all of them, and the order needs no commit
    before the sending."""
    session = scoped_session(sessionmaker(engine))
    for receiver in (send_receipt, write_bill):
        events.deferred(order_paid, session=session)(receiver)

    session.add(order := Order())
    session.flush()
    order_paid.send("till", order=order)
    session.rollback()
    order_paid.send("till", order=1)
    assert engine.dialect.name == "sqlite" or written(engine) == []
    session.commit()
    session.remove()

    assert written(engine) == [(RECEIPT, {"order": 1}), (BILL, {"order": 1})]


@pytest.mark.databases("sqlite")
def test_a_function_chooses_the_session(engine: Engine, events: DeferredEvents, order_paid: NamedSignal) -> None:
    """Of the sender and the arguments: that of the record."""
    events.deferred(order_paid, session=lambda sender, order: object_session(order))(send_receipt)
    with Session(engine) as session:
        session.add(order := Order())
        session.flush()
        order_paid.send("till", order=order)
        session.commit()
        identity = order.id

    assert written(engine) == [(RECEIPT, {"order": {f"@{__name__}.Order": identity}})]


@pytest.mark.databases("sqlite")
def test_a_sending_without_a_session_raises(engine: Engine, events: DeferredEvents, order_paid: NamedSignal) -> None:
    """An event that would not share the fate of its order is not deferred, nor is an order without an identity."""
    events.deferred(order_paid, session=lambda sender, order: object_session(order))(send_receipt)

    with pytest.raises(DeferError, match="session=None: expected a Session or AsyncSession"):
        order_paid.send("till", order=Order())
    with Session(engine) as session:
        session.add(order := Order())
        with pytest.raises(InvalidPayload, match="the identity of a committed record"):
            order_paid.send("till", order=order)
        session.commit()

    assert written(engine) == []


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("choose", [Session, sessionmaker, lambda _: 17])
def test_what_gives_no_session_for_each_sending_is_refused(
    engine: Engine, events: DeferredEvents, order_paid: NamedSignal, choose: Callable[[Engine], Any]
) -> None:
    """Where the receiver is decorated: a session is of one request, and a factory's new one is committed by nobody."""
    with pytest.raises(DeferError, match=r"expected a scoped session, such as db\.session .*, or a function"):
        events.deferred(order_paid, session=choose(engine))(send_receipt)


@pytest.mark.databases("postgres")
def test_a_signal_is_sent_later_with_the_commit(
    engine: Engine, events: DeferredEvents, order_paid: NamedSignal
) -> None:
    """As a whole, with a key that the database holds."""
    events.signal(order_paid)
    with Session(engine) as session:
        ids = [
            events.send_deferred(order_paid, "till", order=number, _session=session, _key="17", _within="1h")
            for number in (1, 2)
        ]
        session.commit()
        events.send_deferred(order_paid, "till", order=3, _session=session)

    assert ids[0] == ids[1]
    assert written(engine) == [("signal.order-paid", {"order": 1})]


@pytest.mark.databases("sqlite")
def test_a_test_records_it_at_the_commit(engine: Engine, events: DeferredEvents, order_paid: NamedSignal) -> None:
    """And replays it."""
    session = scoped_session(sessionmaker(engine))
    events.deferred(order_paid, session=session)(send_receipt)
    with events.testing() as deferred:
        order_paid.send("till", order=1)
        assert len(deferred) == 0
        session.commit()
        order_paid.send("till", order=2)
        session.rollback()
        assert deferred.replay() == [Succeeded()]
    session.remove()

    assert received == [("send_receipt", 1)]


@pytest.mark.databases("sqlite")
def test_in_the_pool_a_receiver_is_deferred_without_its_session(
    engine: Engine, events: DeferredEvents, order_paid: NamedSignal
) -> None:
    """The signal was sent later as a whole, and nobody commits a session there."""
    session = scoped_session(sessionmaker(engine))
    events.deferred(order_paid, session=session)(send_receipt)
    with events.testing() as deferred:
        events.send_deferred(order_paid, "till", order=1)
        deferred.replay()
        assert [event.name for event in deferred] == ["signal.order-paid", RECEIPT]
        assert not session().new
        session.remove()
