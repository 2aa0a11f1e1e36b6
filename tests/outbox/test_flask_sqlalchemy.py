"""Flask-SQLAlchemy itself: `db.session` with `defer()`, with `once`, and with signals."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from blinker import NamedSignal
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app_adapter import DeferredEvents, Event, defer
from bridge.outcome import Failed, Succeeded
from bridge.publishing.outbox.tables import tables

OUTBOX = tables("bridge").outbox

receipts: list[Any] = []


class Shop:
    """An app with Flask-SQLAlchemy, a model, and views that commit, roll back and forget to commit."""

    def __init__(self, url: str) -> None:
        class Base(DeclarativeBase):
            pass

        self.db = db = SQLAlchemy(model_class=Base)
        self.app = app = Flask("shop")
        app.config["SQLALCHEMY_DATABASE_URI"] = url
        db.init_app(app)
        self.events = DeferredEvents(app)
        self.paid = NamedSignal("order-paid")

        class Account(db.Model):  # type: ignore[name-defined, misc]  # as its documentation has it
            id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)

        self.account = Account

        @app.post("/accounts/<end>")
        def create(end: str) -> Any:
            db.session.add(account := Account())
            db.session.flush()
            defer("account.created", account.id, session=db.session)
            self.paid.send(app, account=account.id)
            if end == "commit":
                db.session.commit()
            elif end == "raise":
                raise ZeroDivisionError
            return {}, 202

        with app.app_context():
            db.create_all()
            tables("bridge").metadata.create_all(db.engine)

    def written(self) -> list[tuple[str, Any]]:
        """Return the names and payloads in the outbox, in order."""
        with self.app.app_context():
            rows = self.db.session.execute(select(OUTBOX.c.name, OUTBOX.c.data).order_by(OUTBOX.c.number))
            return [(row.name, json.loads(row.data)) for row in rows]

    def accounts(self) -> int:
        """Return the number of accounts."""
        with self.app.app_context():
            return len(self.db.session.scalars(select(self.account)).all())


def send_receipt(sender: Any, account: int) -> None:
    """Note the call."""
    receipts.append((sender, account))


@pytest.fixture
def shop(url: str) -> Iterator[Shop]:
    """The shop, on a database of its own."""
    receipts.clear()
    shop = Shop(url)
    yield shop
    with shop.app.app_context():
        shop.db.engine.dispose()


def test_an_event_commits_with_the_request(shop: Shop) -> None:
    """A request that raises, or does not commit, leaves no event: the extension removes its session."""
    client = shop.app.test_client()
    for end in ("commit", "raise", "forget", "commit"):
        client.post(f"/accounts/{end}")

    created = [payload for name, payload in shop.written() if name == "account.created"]
    assert len(created) == 2
    assert shop.accounts() == 2


@pytest.mark.databases("sqlite")
def test_a_deferred_receiver_commits_with_the_request(shop: Shop) -> None:
    """By `session=db.session`, which is another session in each request."""
    shop.events.deferred(shop.paid, session=shop.db.session)(send_receipt)
    for end in ("raise", "commit"):
        shop.app.test_client().post(f"/accounts/{end}")

    assert [name for name, _ in shop.written()] == [
        "account.created",
        f"signal.order-paid.{__name__}.send_receipt",
    ]


@pytest.mark.databases("postgres", "sqlite")
def test_a_listener_runs_once(shop: Shop) -> None:
    """By `once=db.session`. A repeat does not run, and a failure leaves nothing in the session for the next event."""
    broken = [ValueError("broken")]

    @shop.events.on("account.created", once=shop.db.session)
    def greet(event: Event, session: Any) -> None:
        shop.db.session.add(shop.account())  # the same session
        session.flush()
        if broken:
            raise broken.pop()

    with shop.events.testing() as deferred, shop.app.app_context():
        shop.events.defer("account.created")
        event = deferred[0]
    outcomes = [event.replay(check=False)[0] for _ in range(3)]

    assert isinstance(outcomes[0], Failed)
    assert outcomes[1:] == [Succeeded()] * 2
    assert shop.accounts() == 1
