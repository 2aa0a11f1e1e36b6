"""A FastCGI pool that others run, as `[fastcgi]` in the settings describes it. Values only: it connects to nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bridge.notation import PositiveCount
from bridge.outcome import Trust
from bridge.request import Site

MAX_SOCKET_PATH = 107
"""Bytes of a path that the system takes for a Unix socket."""

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?")
_PARAMETER = re.compile(r"[A-Z][A-Z0-9_]*")

# What a replay says itself; and HTTP_*, for a program believes these of its client (HTTP_PROXY!).
_WRITTEN = (
    *("BRIDGE_", "CONTENT_", "DOCUMENT_", "GATEWAY_", "HTTP_", "PATH_", "QUERY_", "REMOTE_", "REQUEST_", "SCRIPT_"),
    "SERVER_",
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a FastCGI server listens: a Unix socket's path, or a host and a port."""

    path: str | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parsed(cls, text: object) -> Self:
        """Return the address that `unix:/path` or `host:port` names. Raise `ValueError` for anything else."""
        if isinstance(text, cls):
            return text
        if isinstance(text, str) and text.startswith("unix:/") and "\0" not in text:
            path = text.removeprefix("unix:")
            if len(path.encode("utf-8", "surrogateescape")) > MAX_SOCKET_PATH:
                raise ValueError(f"expected a socket's path of at most {MAX_SOCKET_PATH} bytes")
            return cls(path=path)
        match = _HOST_AND_PORT.fullmatch(text) if isinstance(text, str) else None
        if match is None or not 0 < int(match[2]) <= 0xFFFF:
            raise ValueError("expected 'unix:/absolute/path' or 'host:port'")
        return cls(host=match[1].strip("[]"), port=int(match[2]))


def _server(value: object) -> object:
    return {"address": value} if isinstance(value, str) else value


def _absolute(value: str) -> str:
    if not value.startswith("/") or "\0" in value:
        raise ValueError("expected an absolute path")
    return value


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("expected a host name such as 'shop.example' or 'localhost:8000'")
    return value


def _parameter(name: str) -> str:
    if not _PARAMETER.fullmatch(name) or name.startswith(_WRITTEN):
        raise ValueError("expected a name of A-Z 0-9 _, and none that a replay has by itself or a client sets (HTTP_…)")
    return name


AbsolutePath = Annotated[str, AfterValidator(_absolute)]
ParameterName = Annotated[str, AfterValidator(_parameter)]


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class ServerSettings(_Checked):
    """One address of the pool; `connections` where it may have another number of them than the rest."""

    address: Annotated[Address, BeforeValidator(Address.parsed)]
    connections: PositiveCount | None = None


OneServer = Annotated[ServerSettings, BeforeValidator(_server)]


def _each_once(servers: tuple[ServerSettings, ...]) -> tuple[ServerSettings, ...]:
    if len({server.address for server in servers}) < len(servers):
        raise ValueError("expected each address once")
    return servers


class ForeignPoolSettings(_Checked):
    """`[fastcgi]`: servers that run the same program, and what holds for all of them. Without addresses here, the
    worker is told them on its command line, or has a pool of its own."""

    addresses: Annotated[tuple[OneServer, ...], AfterValidator(_each_once)] = ()
    connections: PositiveCount = 4
    keep_connection: bool = False
    trust: Trust = Trust.RECEIVER
    host: Annotated[str, AfterValidator(_host)] = "localhost"
    script_filename: AbsolutePath | None = None
    document_root: AbsolutePath | None = None
    params: Mapping[ParameterName, str] = Field(default_factory=dict)

    @property
    def connections_by_address(self) -> dict[Address, int]:
        """How many connections each address may have."""
        return {server.address: server.connections or self.connections for server in self.addresses}

    @property
    def size(self) -> int:
        """How many connections there may be in all."""
        return sum(self.connections_by_address.values())

    def site(self, replay_path: str) -> Site:
        """Return where replays go in this pool."""
        named: dict[str, Any] = {"SCRIPT_FILENAME": self.script_filename, "DOCUMENT_ROOT": self.document_root}
        fixed = {name: value for name, value in named.items() if value is not None}
        return Site(self.host, replay_path, {**self.params, **fixed})
