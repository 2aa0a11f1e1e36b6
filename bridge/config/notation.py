"""The notation of single settings: texts, times, sizes, numbers and names.

Each reader returns the value of a setting as the user wrote it, and raises `ValueError` with a message that says what
was expected. Tables are read in `reading`.
"""

import grp
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum
from functools import partial
from math import isfinite
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from bridge.config.reading import Problem, Unreadable, sequence
from bridge.host_names import check_server
from bridge.in_flight import MOST_IN_FLIGHT
from bridge.public_url import PublicUrl
from bridge.topics import EXPECTED_NAME, EXPECTED_PATTERN, check_pattern, is_name

E = TypeVar("E", bound=Enum)

HIDDEN = "…"
"""Stands for a secret in messages."""

_DURATION_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
LONGEST = timedelta(days=36_500)
"""The longest time that a setting can have. `threading.TIMEOUT_MAX` is 292 years on Linux."""
_SIZE_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
MOST_GROUP = 2**32 - 2
"""The largest number of a group: the next one tells the system to change no group."""
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_OBJECT_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

_WORDS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


def text(value: object, *, least: int = 0, most: int | None = None) -> str:
    """Read a text of `least` to `most` characters. No path, name or argument of a program can have a NUL."""
    if not isinstance(value, str):
        raise Unreadable([Problem((), value, "expected a text in quotes")])
    if "\0" in value:
        raise ValueError("expected a text without the character NUL")
    if len(value) < least:
        raise ValueError(f"expected {least} characters or more")
    if most is not None and len(value) > most:
        raise ValueError(f"expected at most {most} characters")
    return value


def yes_or_no(value: object) -> bool:
    """Read true or false, also from the words that environment variables use (`1`, `yes`, `on`, `0`, `no`, `off`)."""
    word = str(value).lower() if isinstance(value, bool | int | str) else ""
    if word not in _WORDS:
        raise ValueError("expected true or false")
    return _WORDS[word]


def number(value: object, least: float, most: float | None = None) -> float:
    """Read a number from `least` to `most`."""
    try:
        result = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        result = None
    if result is None or not isfinite(result):
        raise ValueError("expected a number")
    if result < least:
        raise ValueError(f"expected a number, {least:g} or more")
    if most is not None and result > most:
        raise ValueError(f"expected a number, {most:g} or less")
    return result


def one_of(*words: str) -> Callable[[object], str]:
    """Return a reader of one of these words."""

    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"expected {_quoted(words)}")
        return str(value)

    return read


def member_of(kind: type[E]) -> Callable[[object], E]:
    """Return a reader of an enum's values."""

    def read(value: object) -> E:
        try:
            return kind(value)
        except ValueError:
            raise ValueError(f"expected {_quoted([str(each.value) for each in kind])}") from None

    return read


def duration(value: object) -> timedelta:
    """Read a duration such as `30`, `"30"`, `"30s"`, `"500ms"`, `"5m"`, `"2h"` or `"4d"`. A plain number is seconds."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value))
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or match is None or (match[2] or "s") not in _DURATION_UNITS:
        raise ValueError("expected a time such as 30, '30s', '500ms', '5m', '2h' or '4d'")
    try:
        return timedelta(seconds=float(match[1]) * _DURATION_UNITS[match[2] or "s"])
    except OverflowError:
        raise ValueError("expected a time of at most 999999999 days") from None


def limited_duration(value: object) -> timedelta:
    """Read a duration that a clock can wait for: 0 to `LONGEST`."""

    result = duration(value)
    if not timedelta(0) <= result <= LONGEST:
        raise ValueError(f"expected a time from 0 to {LONGEST.days}d")
    return result


def positive_duration(value: object) -> timedelta:
    """Read a duration above 0 that a clock can wait for."""
    result = limited_duration(value)
    if not result:
        raise ValueError("expected a time above 0")
    return result


def size(value: object) -> int:
    """Read a size such as `1048576`, `"64KiB"` or `"1MiB"`, and return it in bytes."""
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", str(value))
    if isinstance(value, bool) or match is None or match[2] not in _SIZE_UNITS:
        raise ValueError("expected a size such as 1048576, '64KiB' or '1MiB'")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def room(value: object) -> int:
    """Read the size of a store, which is 1 MiB or more, and return it in bytes."""
    result = size(value)
    if result < 1024**2:
        raise ValueError("expected a size of 1MiB or more, such as '1GiB'")
    return result


def count(value: object, least: int = 0) -> int:
    """Read a whole number of at least `least`."""
    digits = "" if isinstance(value, bool) else str(value).strip()
    if not re.fullmatch(r"[0-9]{1,18}", digits) or int(digits) < least:
        raise ValueError(f"expected a whole number, {least} or more")
    return int(digits)


def positive_count(value: object) -> int:
    """Read a whole number above 0."""
    return count(value, least=1)


def in_flight(value: object) -> int:
    """Read how many requests may be in flight in a child: 1 to `MOST_IN_FLIGHT`."""
    number = count(value, least=1)
    if number > MOST_IN_FLIGHT:
        raise ValueError(f"expected a whole number from 1 to {MOST_IN_FLIGHT}")
    return number


def event_name(value: object) -> str:
    """Read the name of an event."""
    if not is_name(text(value)):
        raise ValueError(EXPECTED_NAME)
    return text(value)


def pattern(value: object) -> str:
    """Read a pattern of the names of events."""
    try:
        return check_pattern(text(value))
    except ValueError:  # whose message quotes the pattern
        raise ValueError(EXPECTED_PATTERN) from None


def plain_name(value: object) -> str:
    """Read a name that both brokers accept as a namespace or as the name of a queue."""
    if not _NAME.fullmatch(text(value)) or len(text(value)) > 60:
        raise ValueError("expected a name of A-Z a-z 0-9 _ -, at most 60 characters")
    return text(value)


def group_id(value: object) -> int:
    """Read a group, by number or by its name on this machine; return its number. A container may not name the groups
    that it shares files with."""
    if re.fullmatch(r"[0-9]{1,10}", str(value)) and int(str(value)) <= MOST_GROUP:
        return int(str(value))
    try:
        return grp.getgrnam(text(value)).gr_gid
    except (KeyError, ValueError):
        raise ValueError(f"expected the name of a group of this machine, or a number up to {MOST_GROUP}") from None


def url_path(value: object) -> str:
    """Read the path of a URL of the app."""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text(value)):
        raise ValueError("expected a path such as '/_bridge', without a slash at the end")
    return text(value)


def secret(value: object) -> str:
    """Read a secret that two programs share. No message may show it."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]{16,256}", value):
        raise Unreadable([Problem((), HIDDEN, "expected 16 to 256 printable ASCII characters, without spaces")])
    return value


def policy(value: str) -> str:
    """Read the `module:object` of a retry policy in the site's code."""
    if not _OBJECT_NAME.fullmatch(value):
        raise ValueError("expected a table such as {attempts = 20, initial = '2s'}, or 'module:object'")
    return value


def object_name(value: object) -> str:
    """Read the `module:object` of an object in the site's code."""
    if not _OBJECT_NAME.fullmatch(text(value)):
        raise ValueError("expected 'module:object', such as 'shop.metrics:watcher'")
    return text(value)


def _object_names(value: object) -> tuple[str, ...]:
    listed = [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value
    names: tuple[str, ...] = sequence(object_name, "expected a list such as ['shop.metrics:watcher']")(listed)
    return names


def _words(value: object) -> tuple[str, ...]:
    listed = [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value
    words: tuple[str, ...] = sequence(
        partial(text, least=2, most=100),
        "expected a list of words of at least 2 characters, such as ['password', 'card']",
    )(listed)
    return words


def http_url(value: object) -> str:
    """Read the URL of an HTTP server."""
    parts = urlsplit(text(value))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError("expected http://host:15672 or https://host:15671")
    check_server(parts)
    return text(value)


def public_url(value: object) -> PublicUrl:
    """Read the public URL of the app."""
    return PublicUrl.parsed(text(value))


def _quoted(words: Sequence[str]) -> str:
    return " or ".join((", ".join(map(repr, words[:-1])), repr(words[-1]))) if len(words) > 1 else repr(words[0])


Text = Annotated[str, text]
SomeText = Annotated[str, partial(text, least=1)]
Secret = Annotated[str, secret]
YesOrNo = Annotated[bool, yes_or_no]
Duration = Annotated[timedelta, limited_duration]
PositiveDuration = Annotated[timedelta, positive_duration]
Size = Annotated[int, size]
Room = Annotated[int, room]
Count = Annotated[int, count]
PositiveCount = Annotated[int, positive_count]
InFlight = Annotated[int, in_flight]
PlainName = Annotated[str, plain_name]
GroupId = Annotated[int, group_id]
UrlPath = Annotated[str, url_path]
HttpUrl = Annotated[str, http_url]
AppUrl = Annotated[PublicUrl, public_url]
ObjectNames = Annotated[tuple[str, ...], _object_names]
"""A list of names; an environment variable has the names with commas between them."""
Words = Annotated[tuple[str, ...], _words]
Patterns = Annotated[tuple[str, ...], sequence(pattern, "expected a list of patterns, such as ['mail.#']")]
QueueNames = Annotated[
    tuple[str, ...], sequence(plain_name, "expected a list of names of queues, such as ['mail', 'default']")
]
