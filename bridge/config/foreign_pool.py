"""The `[fastcgi]` table of the settings: a FastCGI pool that another program runs. This file opens no connection."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from bridge.config.notation import PositiveCount, YesOrNo, member_of, text
from bridge.config.reading import mapping, sequence, table
from bridge.host_names import check_server, host_name
from bridge.public_url import PublicUrl
from bridge.request import ReplayTarget
from bridge.trust import Trust

MAX_SOCKET_PATH = 107
"""The longest path of a Unix socket in bytes (`sun_path` in unix(7))."""

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?")
_PARAMETER = re.compile(r"[A-Z][A-Z0-9_]*")

# Prefixes of the parameters that every replay has already. HTTP_* is also refused because programs take such parameters
# for headers of an HTTP client (HTTP_PROXY, see https://httpoxy.org).
_RESERVED = (
    *("BRIDGE_", "CONTENT_", "DOCUMENT_", "GATEWAY_", "HTTP_", "PATH_", "QUERY_", "REMOTE_", "REQUEST_", "SCRIPT_"),
    "SERVER_",
)


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a FastCGI server: the path of a Unix socket, or a host and a port."""

    path: str | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parsed(cls, text: object) -> Self:
        """Return the address of a text `unix:/path` or `host:port`. Raise `ValueError` for any other value."""
        if isinstance(text, cls):
            return text
        if isinstance(text, str) and text.startswith("unix:/") and "\0" not in text:
            path = text.removeprefix("unix:")
            if len(path.encode("utf-8", "surrogateescape")) > MAX_SOCKET_PATH:
                raise ValueError(f"expected a socket path of at most {MAX_SOCKET_PATH} bytes")
            return cls(path=path)
        return cls._of_tcp(text, "expected 'unix:/absolute/path' or 'host:port'")

    @classmethod
    def _of_tcp(cls, text: object, expected: str) -> Self:
        match = _HOST_AND_PORT.fullmatch(text) if isinstance(text, str) else None
        if match is None or not 0 < int(match[2]) <= 0xFFFF:
            raise ValueError(expected)
        return cls(host=host_name(match[1].strip("[]")), port=int(match[2]))

    @classmethod
    def to_listen_on(cls, text: object) -> Self:
        """Return the address of a text `host:port`. Raise `ValueError` for any other value."""
        return cls._of_tcp(text, "expected 'host:port', such as '127.0.0.1:9464'")


def _absolute_path(value: object) -> str:
    path = text(value)
    if not path.startswith("/"):
        raise ValueError("expected an absolute path")
    return path


AbsolutePath = Annotated[str, _absolute_path]


def _host(value: object) -> str:
    if not _HOST.fullmatch(text(value)):
        raise ValueError("expected a host name such as 'shop.example' or 'localhost:8000'")
    check_server(urlsplit(f"//{value}"))
    return text(value)


def _parameter(name: object) -> str:
    if name != "QUERY_STRING" and (not _PARAMETER.fullmatch(text(name)) or text(name).startswith(_RESERVED)):
        raise ValueError("expected a name of A-Z 0-9 _ that neither replays nor HTTP clients (HTTP_…) set themselves")
    return text(name)


@dataclass(frozen=True)
class ServerSettings:
    """One address of the pool. `connections` is set if this address may have another number of them than the others."""

    address: Annotated[Address, Address.parsed]
    connections: PositiveCount | None = None


_server_table = table(ServerSettings)


def _server(value: object) -> ServerSettings:
    return _server_table({"address": value} if isinstance(value, str) else value)


def _servers(value: object) -> tuple[ServerSettings, ...]:
    servers: tuple[ServerSettings, ...] = sequence(_server)(value)
    if len({server.address for server in servers}) < len(servers):
        raise ValueError("expected each address once")
    return servers


@dataclass(frozen=True)
class ForeignPoolSettings:
    """The `[fastcgi]` table: servers that run the same program, and their common settings. Without `addresses`, the
    worker takes the addresses from its command line, or runs a pool of its own."""

    addresses: Annotated[tuple[ServerSettings, ...], _servers] = ()
    connections: PositiveCount = 4
    keep_connection: YesOrNo = False
    trust: Annotated[Trust, member_of(Trust)] = Trust.RECEIVER
    host: Annotated[str, _host] | None = None
    script_filename: AbsolutePath | None = None
    document_root: AbsolutePath | None = None
    params: Annotated[Mapping[str, str], mapping(_parameter, text)] = field(default_factory=dict)

    @property
    def connections_by_address(self) -> dict[Address, int]:
        """The largest number of connections to each address."""
        return {server.address: server.connections or self.connections for server in self.addresses}

    @property
    def size(self) -> int:
        """The largest number of connections to all addresses together."""
        return sum(self.connections_by_address.values())

    def target(self, replay_path: str, url: PublicUrl, secret: str | None = None) -> ReplayTarget:
        """Return the destination of replays in this pool. `url` is the app's public URL, but for `host`. The pool takes
        replays if it knows the `secret`."""
        fixed: dict[str, Any] = {
            "SCRIPT_FILENAME": self.script_filename,
            "DOCUMENT_ROOT": self.document_root,
            "BRIDGE_SECRET": secret,
        }
        given = {name: value for name, value in fixed.items() if value is not None}
        url = url if self.host is None else replace(url, host=self.host)
        return ReplayTarget(replay_path, url, {**self.params, **given})
