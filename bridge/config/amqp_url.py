"""The URL of RabbitMQ: `amqp://user:password@host:port,host:port/vhost?heartbeat=10`, or `amqps` for TLS.

No message quotes a part of the URL: where its characters are wrong, any part may be the password.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from bridge.host_names import host_name

SCHEMES = ("amqp", "amqps")

_EXPECTED = "expected amqp://user:password@host:port/vhost"
_ESCAPES = "in a user, password or virtual host, write @ as %40, / as %2F, ? as %3F and # as %23"
_LONGEST = 255
"""Bytes of the name of a virtual host in AMQP."""
_PORTS = range(1, 2**16)


@dataclass(frozen=True, slots=True)
class AmqpUrl:
    """The parts of the URL. `login` and `hosts` are as written; `vhost` is the name of the virtual host, decoded."""

    scheme: str
    login: str = field(repr=False)
    hosts: tuple[str, ...]
    vhost: str
    query: str


def parts_of(url: str) -> AmqpUrl:
    """Return the parts of the URL. Raise `ValueError`, which says what was expected."""
    if not url.isprintable() or " " in url:
        raise ValueError(f"{_EXPECTED}, without spaces and control characters; in a name, write a space as %20")
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that are no IPv6 address
        raise ValueError(f"{_EXPECTED}; {_ESCAPES}") from None
    login, _, hosts = parts.netloc.rpartition("@")
    if parts.fragment or ("@" not in parts.netloc and "@" in f"{parts.path}?{parts.query}"):
        raise ValueError(f"{_EXPECTED}; {_ESCAPES}")
    for host in hosts.split(","):
        _check_host(parts.scheme, host)
    return AmqpUrl(parts.scheme, login, tuple(hosts.split(",")), _vhost(parts.path), parts.query)


def _check_host(scheme: str, host: str) -> None:
    try:
        parts = urlsplit(f"{scheme}://{host}")
        usable = bool(host_name(parts.hostname or "")) and (parts.port is None or parts.port in _PORTS)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{_EXPECTED}, with a host name, and a port from 1 to 65535 or none; {_ESCAPES}")


def _vhost(path: str) -> str:
    name = path[1:]
    if "/" in name:
        raise ValueError("expected a virtual host without '/' (write it as %2F)")
    if re.search(r"%(?![0-9A-Fa-f]{2})", name):
        raise ValueError("expected % in a virtual host to be followed by two hexadecimal digits (write % as %25)")
    try:
        decoded = unquote(name, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("expected a virtual host in UTF-8") from None
    if len(decoded.encode()) > _LONGEST:
        raise ValueError(f"expected a virtual host of at most {_LONGEST} bytes")
    return decoded or "/"
