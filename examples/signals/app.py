"""A shop that sends a signal of blinker before it commits an order. The receipt is written in the pool, and exactly if
the order is committed.

Each in a terminal of its own, in this directory:

    flask --app app run
    bridge-worker app:app
    bridge-relay

Then order something, and something that nobody can pay:

    curl http://127.0.0.1:5000/orders -d email=ann@example.org -d amount=9.90
    curl http://127.0.0.1:5000/orders -d email=bob@example.org -d amount=-1
    cat receipts.txt
"""

from decimal import Decimal
from pathlib import Path

from blinker import Namespace
from flask import Flask, request
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session

from deferred_event_bridge import DeferredEvents, Reject, outbox


class Base(DeclarativeBase):
    """The tables of the shop."""


class Order(Base):
    """An order that was paid."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    cents: Mapped[int]


engine = create_engine("sqlite:///shop.db")
Base.metadata.create_all(engine)
outbox.metadata().create_all(engine)

app = Flask(__name__)
events = DeferredEvents(app)
order_paid = Namespace().signal("order-paid")


def order_by(identity: int) -> Order:
    """Load an order in the pool."""
    with Session(engine) as session:
        order = session.get(Order, identity)
        if order is None:
            raise Reject(f"the order {identity} was deleted")
        return order


events.codec(Order, lambda order: order.id, order_by)  # an order travels as its identity


@events.deferred(order_paid, session=lambda sender, order, **_: object_session(order))
def write_receipt(sender: Flask, order: Order, paid: Decimal) -> None:
    """Write the receipt, in the pool."""
    with Path("receipts.txt").open("a") as receipts:
        receipts.write(f"{order.email} has paid {paid} to {sender.name}\n")


@app.post("/orders")
def pay() -> tuple[dict[str, object], int]:
    """Take an order. The signal is sent before it is known whether the order can be paid."""
    with Session(engine) as session:
        paid = Decimal(request.form["amount"])
        order = Order(email=request.form["email"], cents=int(paid * 100))
        session.add(order)
        session.flush()  # the order has its identity now
        order_paid.send(app, order=order, paid=paid)
        if paid <= 0:
            return {"error": "the amount must be positive"}, 400  # without the commit, nothing of this has happened
        session.commit()
        return {"order": order.id}, 202
