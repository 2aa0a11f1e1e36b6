"""From a broker's URL to what can be said of it. Unlike a broker that is opened, it makes and declares nothing.

Each kind is imported only where it is used, as in `opening`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bridge.errors import SettingsError
from bridge.findings import Examination
from bridge.queues import Queue


@dataclass(frozen=True, slots=True)
class Place:
    """What is examined: a broker, and what a site has there. `declares` tells whether its programs declare what they
    need; `management_url` is where RabbitMQ's management is asked (None: at the broker's host)."""

    url: str = field(repr=False)
    namespace: str
    queues: Sequence[Queue]
    declares: bool = True
    management_url: str | None = field(default=None, repr=False)


async def examine(place: Place) -> Examination:
    """Say how the broker and what the site has there stand, within some 30 s whatever they do. Raise `SettingsError`
    for a URL that names no broker."""
    if _is_sqlite(place):
        from bridge.brokers.sqlite.examination import examine_sqlite

        return await examine_sqlite(place)
    from bridge.brokers.rabbitmq.examination import examine_rabbitmq

    return await examine_rabbitmq(place)


def definitions(place: Place) -> dict[str, Any]:
    """Return all that the site needs on RabbitMQ, as `rabbitmqctl import_definitions` takes it. Raise `SettingsError`
    for another broker."""
    if _is_sqlite(place):
        raise SettingsError(f"--definitions are for RabbitMQ, and broker_url is {place.url!r}: expected amqp://host/")
    from bridge.brokers.rabbitmq.address import address
    from bridge.brokers.rabbitmq.definitions import definitions_of
    from bridge.brokers.rabbitmq.topology import Names

    return definitions_of(Names(place.namespace), place.queues, address(place.url).vhost)


def _is_sqlite(place: Place) -> bool:
    return urlsplit(place.url).scheme == "sqlite"
