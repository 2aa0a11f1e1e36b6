"""The address of RabbitMQ, parsed from a broker's URL: one user, one virtual host, one or more hosts."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from yarl import URL

from bridge.brokers.contract.tls import DEFAULT_TLS, Tls
from bridge.brokers.rabbitmq.connection.tls import tls_context
from bridge.config.amqp_parameters import read_parameters
from bridge.config.amqp_url import AmqpUrl, parts_of
from bridge.config.hiding import shown
from bridge.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Address:
    """The hosts of one broker. Its `str` is for people, without a password."""

    urls: tuple[URL, ...] = field(repr=False)
    hosts: str
    vhost: str
    tls: Tls = field(default=DEFAULT_TLS, repr=False)

    def __str__(self) -> str:
        return f"{self.urls[0].scheme}://{self.hosts}/{'' if self.vhost == '/' else quote(self.vhost, safe='')}"

    def each_host(self) -> Iterator["Address"]:
        """Yield, for each host, an address with this host only."""
        for url in self.urls:
            yield self.only(url)

    def only(self, url: URL) -> "Address":
        """Return an address with this host only."""
        return replace(self, urls=(url,))


def address(url: str, tls: Tls = DEFAULT_TLS) -> Address:
    """Parse `amqp://user:password@host:port,host:port/vhost?parameters`, or `amqps` for TLS. `tls` are the settings for
    TLS; the URL's own are stronger. Raise `SettingsError`, whose message does not show the password."""
    try:
        parts = parts_of(url)
        tls, parameters = read_parameters(parts.query, tls, secure=parts.scheme == "amqps")
        urls = tuple(_one(parts, host).with_query(parameters) for host in parts.hosts)
    except ValueError as error:
        raise SettingsError(f"broker_url {shown('broker_url', url)}: {error}") from error
    if parts.scheme == "amqps":
        tls_context(tls)  # so that a file that cannot be used is a wrong setting, and no broker that is away
    return Address(urls, ",".join(parts.hosts), parts.vhost, tls)


def _one(parts: AmqpUrl, host: str) -> URL:
    """Return the URL of one host. It has no virtual host, because a path cannot hold every name: `..` would go."""
    login = f"{parts.login}@" if parts.login else ""
    return URL(f"{parts.scheme}://{login}{host}/")
