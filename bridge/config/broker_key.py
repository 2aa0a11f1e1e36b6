"""A text that is the same for all URLs of one broker, by which programs recognise the site that others serve."""

from bridge.config.amqp_url import parts_of
from bridge.config.sqlite_url import is_sqlite

_PORTS = {"amqp": "5672", "amqps": "5671"}


def broker_key(url: str) -> str:
    """Return the key of a broker's URL as the settings have it. It has no user and no password, and does not depend on
    the order of the hosts or on a default that is written out."""
    if is_sqlite(url):
        return url
    parts = parts_of(url)
    hosts = sorted(_host(host, _PORTS[parts.scheme]) for host in parts.hosts)
    return f"{','.join(hosts)} {parts.vhost}"


def _host(host: str, default: str) -> str:
    name, _, port = host.rpartition(":")
    return f"{name.lower()}:{port}" if port.isdigit() else f"{host.lower().rstrip(':')}:{default}"
