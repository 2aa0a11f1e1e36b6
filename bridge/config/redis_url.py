"""The URL of a Redis server: `redis://host:6379/0`, `rediss://…` with TLS, or `unix:///path/to/socket?db=0`.

redis-py takes a wrong number of a database for 0, and so would look into another database. So URLs are checked here.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from bridge.config.notation import text
from bridge.config.password_file import with_password
from bridge.errors import SettingsError
from bridge.host_names import check_server

_SCHEMES = ("redis", "rediss", "unix")
EXPECTED = "expected redis://host:6379/0, rediss://… for TLS, or unix:///path/to/redis.sock?db=0"
_OF_TLS = frozenset(("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"))
_PARAMETERS = {"redis": frozenset(("db",)), "unix": frozenset(("db",)), "rediss": _OF_TLS | {"db"}}
_NUMBER = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A Redis server: its URL, and the file with the password of the user in it, if there is one."""

    url: str = field(repr=False)
    password_file: str | None = None

    def complete_url(self) -> str:
        """Return the URL with the password from its file. Raise `SettingsError`."""
        if self.password_file is None:
            return self.url
        try:
            return with_password(self.url, Path(self.password_file), "url", "redis://default@host/0")
        except ValueError as error:
            raise SettingsError(f"password_file of a store = {self.password_file!r}: {error}") from None

    def __str__(self) -> str:
        """Return the server in words, without a login."""
        parts = urlsplit(self.url)
        where = parts.path if parts.scheme == "unix" else f"{parts.netloc.rpartition('@')[2] or 'localhost'}"
        return f"{parts.scheme}://{where}{_database(self.url)}"


def is_redis(url: object) -> bool:
    """Return True if a setting is meant as the URL of a Redis server."""
    return isinstance(url, str) and url.partition(":")[0].lower() in _SCHEMES


def redis_url(value: object) -> str:
    """Read the URL of a Redis server. Raise `ValueError`, which says what was expected."""
    url = text(value)
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or "://" not in url or parts.fragment:
        raise ValueError(EXPECTED)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if given.keys() - _PARAMETERS[parts.scheme]:  # which are not named: one may be the end of a password with `?`
        raise ValueError(f"{EXPECTED}, with no parameters but {', '.join(sorted(_PARAMETERS[parts.scheme]))}")
    for each in (unquote(parts.path), *given.values()):
        text(each)
    if "db" in given and not _NUMBER.fullmatch(given["db"]):
        raise ValueError("expected db to be the number of a database, as in ?db=1")
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError(EXPECTED)
        return url
    path = parts.path.removeprefix("/")
    if path and not _NUMBER.fullmatch(path):
        raise ValueError("expected the number of a database at the end, as in redis://host:6379/1")
    if path and "db" in given:
        raise ValueError("expected the number of the database once, as in redis://host:6379/1")
    check_server(parts)
    return url


def _database(url: str) -> str:
    parts = urlsplit(url)
    number = dict(parse_qsl(parts.query)).get("db") or ("" if parts.scheme == "unix" else parts.path.strip("/"))
    return f"/{number}" if number and parts.scheme != "unix" else f"?db={number}" if number else ""
