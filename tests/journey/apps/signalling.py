"""An app that sends signals. Run as a program, it sends each of them once.

Each receiver appends a line to the file that the environment variable `RECEIVED` names.
"""

import json
import os
import sqlite3
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from blinker import Namespace
from flask import Flask

from app_adapter import DeferredEvents

app = Flask("signalling")
events = DeferredEvents(app)
signals = Namespace()
order_paid = events.signal(signals.signal("order-paid"))
order_shipped = events.signal(signals.signal("order-shipped"))


class Order:
    """A record of the table of orders, which is found by its number."""

    def __init__(self, number: int) -> None:
        self.number = number

    @classmethod
    def load(cls, number: int) -> "Order | None":
        """Return the record, None if there is none."""
        with sqlite3.connect("orders.db") as database:
            row = database.execute("SELECT number FROM orders WHERE number = ?", (number,)).fetchone()
        return None if row is None else cls(*row)


events.codec(Order, lambda order: order.number, Order.load)


@events.codec
@dataclass
class Line:
    """A line of an order."""

    article: str
    price: Decimal


def note(receiver: str, sender: Any, order: Order, lines: tuple[Line, ...]) -> None:
    """Append a line with what a receiver was called with."""
    what = [receiver, sender is app, type(order).__name__, order.number, repr(lines)]
    with Path(os.environ["RECEIVED"]).open("a") as received:
        received.write(json.dumps(what) + "\n")


def fail_once(receiver: str) -> None:
    """Raise in the first attempt of a receiver."""
    if Path(os.environ["RECEIVED"]).read_text().count(receiver) == 1:
        raise ConnectionError("downstream is down")


@events.deferred(order_paid, sender=app, priority="high")
def send_receipt(sender: Flask, order: Order, lines: tuple[Line, ...]) -> None:
    """Fail once."""
    note("send_receipt", sender, order, lines)
    fail_once("send_receipt")


@events.deferred(order_paid)
def book(sender: Flask, order: Order, lines: tuple[Line, ...]) -> None:
    """Note the call."""
    note("book", sender, order, lines)


@order_shipped.connect
def track(sender: Flask, order: Order, lines: tuple[Line, ...]) -> None:
    """Fail once."""
    note("track", sender, order, lines)
    fail_once("track")


@order_shipped.connect
def thank(sender: Flask, order: Order, lines: tuple[Line, ...]) -> None:
    """Note the call."""
    note("thank", sender, order, lines)


if __name__ == "__main__":
    with sqlite3.connect("orders.db") as orders:
        orders.execute("CREATE TABLE orders (number INTEGER)")
        orders.execute("INSERT INTO orders VALUES (17)")
    with app.app_context():
        order_paid.send(app, order=Order(17), lines=(Line("pen", Decimal("9.90")),))
        events.send_deferred(order_shipped, app, order=Order(17), lines=())
