"""Hides the parts of a setting's value that a message must not show.

A value that is wrong may hold a password anywhere: in a URL with a missing slash or host, below a misspelt key, or in
the place of another setting.
"""

import re
from urllib.parse import urlsplit

from bridge.config.sqlite_url import is_sqlite
from bridge.errors import shown as quoted

HIDDEN = "…"

_SECRET_KEY = re.compile(r"pass|pwd|secret|token|key|credential|url|uri|dsn", re.IGNORECASE)
_SCHEME = re.compile(r"(?:amqps?|https?|rediss?|sqlite|postgresql|mysql|mariadb)://", re.IGNORECASE)
_OF_URL = re.compile(r"://|@|^\s*amqps?:", re.IGNORECASE)
_LONGEST = 200


class Hidden:
    """A value that no message shows: that of a key which is no setting."""

    def __repr__(self) -> str:
        return HIDDEN


def has_password(url: str) -> bool:
    """Return True if a valid URL has a password that is not the one with which RabbitMQ is installed."""
    login, _, _ = urlsplit(url).netloc.rpartition("@")
    return bool(login.partition(":")[2]) and login != "guest:guest"


def without_password(url: str) -> str:
    """Return a valid broker URL without user, password and parameters, for messages. Any other valid setting is
    returned as it is."""
    if is_sqlite(url) or "://" not in url:
        return url
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{HIDDEN + '@' if login else ''}{hosts}{parts.path}"


def shown(key: str, value: object) -> str:
    """Return the value of a setting as a message shows it. `key` is the setting's name, with its tables."""
    if isinstance(value, str) and (_SECRET_KEY.search(key) or _OF_URL.search(value)):
        return repr(_start_of_url(value))
    text = quoted(value, _LONGEST)
    return HIDDEN if _SECRET_KEY.search(key) or _OF_URL.search(text) else text


def _start_of_url(text: str) -> str:
    """Return what of a text can be no password: the path of an SQLite file, or a scheme that is known."""
    if text.startswith("sqlite:///") and "@" not in text:
        return text
    scheme = _SCHEME.match(text)
    return f"{scheme[0] if scheme else ''}{HIDDEN}"
