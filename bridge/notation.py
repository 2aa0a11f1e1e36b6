"""How settings are written: times, sizes, whole numbers, names; and what was expected in place of another value.

The types are pydantic's; what a reader raises is a `ValueError` whose text is the message.
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator

from bridge.topics import check_pattern

_DURATION_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_SIZE_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_NAME = re.compile(r"[A-Za-z0-9_-]+")

_EXPECTED = {
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "dict_type": "expected a table",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "greater_than_equal": "expected a number, {ge:g} or more",
    "less_than_equal": "expected a number, {le:g} or less",
    "mapping_type": "expected a table",
    "model_type": "expected a table",
    "string_too_long": "expected at most {max_length} characters",
    "string_too_short": "expected {min_length} characters or more",
    "string_type": "expected a text in quotes",
    "tuple_type": "expected a list",
}


def expected(problem: Mapping[str, Any]) -> str:
    """Return what was expected, from one of pydantic's problems."""
    if problem["type"] in _EXPECTED:
        return _EXPECTED[problem["type"]].format_map(problem.get("ctx", {}))
    said = str(problem["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")
    return said if "expected" in said else f"expected otherwise: {said}"


def duration(value: object) -> timedelta:
    """Return the time that `30`, `"30"`, `"30s"`, `"500ms"`, `"5m"`, `"2h"` or `"4d"` names; a number is seconds."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value))
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or match is None or (match[2] or "s") not in _DURATION_UNITS:
        raise ValueError("expected a time such as 30, '30s', '500ms', '5m', '2h' or '4d'")
    try:
        return timedelta(seconds=float(match[1]) * _DURATION_UNITS[match[2] or "s"])
    except OverflowError:
        raise ValueError("expected a time that fits a calendar") from None


def without_password(url: str) -> str:
    """Return a broker's URL as people may see it."""
    return re.sub(r"//.*@", "//…@", url)


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("expected a time above 0")
    return value


def _size(value: object) -> int:
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", str(value))
    if isinstance(value, bool) or match is None or match[2] not in _SIZE_UNITS:
        raise ValueError("expected a size such as 1048576, '64KiB' or '1MiB'")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def _room(value: int) -> int:
    if value < 1024**2:
        raise ValueError("expected a size of 1MiB or more, such as '1GiB'")
    return value


def _whole_number(least: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        text = "" if isinstance(value, bool) else str(value).strip()
        if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least:
            raise ValueError(f"expected a whole number, {least} or more")
        return int(text)

    return read


def _plain_name(value: str) -> str:
    if not _NAME.fullmatch(value) or len(value) > 60:
        raise ValueError("expected a name of A-Z a-z 0-9 _ -, at most 60 characters")
    return value


def _path(value: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
        raise ValueError("expected a path such as '/_bridge', without a slash at the end")
    return value


def _policy(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", value):
        raise ValueError("expected a table such as {attempts = 20, initial = '2s'}, or 'module:object'")
    return value


def _patterns(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError("expected a list of patterns, such as ['mail.#']")  # noqa: TRY004  # pydantic takes no other
    return value


def _broker_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("sqlite", "amqp", "amqps"):
        raise ValueError("expected sqlite:///path/to/file.db, amqp://host/ or amqps://host/")
    if parts.scheme == "sqlite" and (parts.netloc or unquote(parts.path.removeprefix("/")) in ("", ":memory:")):
        raise ValueError("expected sqlite:///path/to/file.db, three slashes, a file")
    return value


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError("expected http://host:15672 or https://host:15671")
    return value


Duration = Annotated[timedelta, BeforeValidator(duration)]
PositiveDuration = Annotated[timedelta, BeforeValidator(duration), AfterValidator(_positive)]
Size = Annotated[int, BeforeValidator(_size)]
Room = Annotated[int, BeforeValidator(_size), AfterValidator(_room)]
Count = Annotated[int, BeforeValidator(_whole_number(0))]
PositiveCount = Annotated[int, BeforeValidator(_whole_number(1))]
PlainName = Annotated[str, AfterValidator(_plain_name)]
UrlPath = Annotated[str, AfterValidator(_path)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
BrokerUrl = Annotated[str, AfterValidator(_broker_url)]
Patterns = Annotated[tuple[Annotated[str, AfterValidator(check_pattern)], ...], BeforeValidator(_patterns)]
PolicyReader = BeforeValidator(_policy)
