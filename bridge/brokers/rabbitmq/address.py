"""Where RabbitMQ is: a broker's URL taken apart. One user, one virtual host, any number of hosts."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

from yarl import URL

from bridge.errors import SettingsError

HEARTBEAT = 10
"""Seconds. A host that froze is noticed after three of them."""


@dataclass(frozen=True, slots=True)
class Address:
    """The hosts of one broker. Its `str` is for people and has no password."""

    urls: tuple[URL, ...] = field(repr=False)
    hosts: str
    vhost: str

    def __str__(self) -> str:
        return f"{self.urls[0].scheme}://{self.hosts}/{self.vhost.removeprefix('/')}"

    def each_host(self) -> Iterator["Address"]:
        """Yield an address of each host alone."""
        for url in self.urls:
            yield replace(self, urls=(url,))


def address(url: str) -> Address:
    """Return the address that `amqp://user:password@host:port,host:port/vhost` names, `amqps` for TLS. Raise
    `SettingsError`, which does not show the password."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    shown = f"{parts.scheme}://{'…@' if login else ''}{hosts}{parts.path}"
    urls = tuple(_one(parts.scheme, login, host, parts.path, parts.query, shown) for host in hosts.split(","))
    vhost = unquote(parts.path[1:]) or "/"
    if "/" in parts.path[1:]:
        raise SettingsError(f"broker_url '{shown}': expected a virtual host without '/' (write it as %2F)")
    return Address(urls, hosts, vhost)


def _one(scheme: str, login: str, host: str, path: str, query: str, shown: str) -> URL:
    try:
        url = URL(f"{scheme}://{login + '@' if login else ''}{host}{path or '/'}{'?' + query if query else ''}")
        usable = bool(url.host) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"broker_url '{shown}': expected amqp://user:password@host:port/vhost, got host '{host}'")
    return url if "heartbeat" in url.query else url.update_query(heartbeat=str(HEARTBEAT))
