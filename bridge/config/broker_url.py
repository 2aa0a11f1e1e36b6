"""The setting `broker_url`: which URLs name a broker. SQLite's and RabbitMQ's own rules are in files of their own."""

from typing import Annotated

from bridge.brokers.contract.tls import DEFAULT_TLS
from bridge.config.amqp_parameters import read_parameters
from bridge.config.amqp_url import SCHEMES, parts_of
from bridge.config.notation import text
from bridge.config.sqlite_url import is_sqlite, path_in


def broker_url(value: object) -> str:
    """Read the URL of a broker. Raise `ValueError`, which says what was expected."""
    url = text(value)
    scheme, separator, _ = url.partition("://")
    if scheme not in ("sqlite", *SCHEMES) or not separator:
        raise ValueError("expected sqlite:///path/to/file.db, amqp://host/ or amqps://host/")
    if is_sqlite(url):
        path_in(url)
    else:
        parts = parts_of(url)
        read_parameters(parts.query, DEFAULT_TLS, secure=parts.scheme == "amqps")
    return url


BrokerUrl = Annotated[str, broker_url]
