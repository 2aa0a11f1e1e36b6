"""From a broker's URL to a broker. Each is imported only where it is used: aio-pika alone costs a tenth of a second."""

from collections.abc import Callable
from urllib.parse import urlsplit

from bridge.brokers.contract import Broker
from bridge.errors import SettingsError


def _open_sqlite(url: str, namespace: str) -> Broker:
    from bridge.brokers.sqlite.broker import SqliteBroker

    return SqliteBroker.from_url(url, namespace)


def _open_rabbitmq(url: str, namespace: str) -> Broker:
    from bridge.brokers.rabbitmq.broker import RabbitBroker

    return RabbitBroker.from_url(url, namespace)


_BY_SCHEME: dict[str, Callable[[str, str], Broker]] = {
    "sqlite": _open_sqlite,
    "amqp": _open_rabbitmq,
    "amqps": _open_rabbitmq,
}


def open_broker(url: str, namespace: str) -> Broker:
    """Return the broker that a URL names; nothing is connected yet. Raise `SettingsError` for an unknown scheme."""
    opener = _BY_SCHEME.get(urlsplit(url).scheme)
    if opener is None:
        raise SettingsError(f"broker_url {url!r}: expected sqlite:///path, amqp://host/ or amqps://host/")
    return opener(url, namespace)
