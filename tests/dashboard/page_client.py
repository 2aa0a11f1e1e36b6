"""Flask's client on the page of a site on SQLite, and what happens on the site's broker."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Delivery
from bridge.brokers.opening import open_broker
from bridge.config.settings import Settings
from bridge.ledger import Letter
from tests.contract.acts import an_event, consuming, take
from tests.dashboard.page_site import PASSWORDS

EVIL = '"><script>alert(1)</script>\u202e\x1b[31m'


def on_broker(settings: Settings, act: Callable[[Broker], Coroutine[Any, Any, None]]) -> None:
    """Do something on the broker of the site."""

    async def done() -> None:
        broker = open_broker(settings.values.broker_url, settings.values.namespace)
        try:
            await act(broker)
        finally:
            await broker.close()

    asyncio.run(done())


def signed_in(app: Flask, name: str) -> FlaskClient:
    """Return a client with the session of this user."""
    client = app.test_client()
    answer = client.post("/sign-in", data={"name": name, "password": PASSWORDS[name]})
    assert answer.status_code == 303
    return client


def token_of(client: FlaskClient, path: str) -> str:
    """Return the token of the form at this path."""
    found = re.search(r'name="token" value="([^"]+)"', client.get(path).text)
    assert found is not None
    return found[1]


def kill(settings: Settings, letter: Callable[[Delivery], Letter], data: bytes = b"{}") -> None:
    """Let an event with this data become a dead letter."""

    async def die(broker: Broker) -> None:
        consumer = await consuming(broker, "mail")
        await broker.publisher().publish(an_event("mail.evil", data)._replace(source=EVIL[:27]))
        delivery = await take(consumer)
        await delivery.dead_letter(letter(delivery))
        await consumer.close()

    on_broker(settings, die)
