"""From a broker's URL to a broker. Each is imported only where it is used: aio-pika alone costs a tenth of a second."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bridge.brokers.contract import Broker
from bridge.brokers.forks import Gate
from bridge.errors import BrokerUnavailable, SettingsError


def _open_sqlite(url: str, namespace: str, declare: bool) -> Broker:
    from bridge.brokers.sqlite.broker import SqliteBroker

    return SqliteBroker.from_url(url, namespace)  # a file has no permissions to be spared: it always declares


def _open_rabbitmq(url: str, namespace: str, declare: bool) -> Broker:
    from bridge.brokers.rabbitmq.broker import RabbitBroker

    return RabbitBroker.from_url(url, namespace, declares=declare)


_BY_SCHEME: dict[str, Callable[[str, str, bool], Broker]] = {
    "sqlite": _open_sqlite,
    "amqp": _open_rabbitmq,
    "amqps": _open_rabbitmq,
}


importing = Gate()
"""Entered while a broker is imported."""


def open_broker(url: str, namespace: str, *, declare: bool = True) -> Broker:
    """Return the broker that a URL names; nothing is connected yet. Unless `declare`, what is needed on RabbitMQ must
    be there. Raise `SettingsError` for an unknown scheme."""
    opener = _BY_SCHEME.get(urlsplit(url).scheme)
    if opener is None:
        raise SettingsError(f"broker_url {url!r}: expected sqlite:///path, amqp://host/ or amqps://host/")
    with importing:
        return opener(url, namespace, declare)


def open_existing(url: str, namespace: str, *, declare: bool = True) -> Broker:
    """Return the broker that a URL names, as `open_broker` does. Raise `BrokerUnavailable` where it is a file that is
    not there: whoever only reads shall not make one."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path[1:]))
    if parts.scheme == "sqlite" and not path.exists():
        raise BrokerUnavailable(f"there is no {path}; give --broker-url or --config")
    return open_broker(url, namespace, declare=declare)
