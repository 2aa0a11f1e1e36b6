"""Reads typed values out of JSON that another program may have written. Pure.

Each reader returns a value of the right type, within its bounds, as text that UTF-8 can encode, or raises `ValueError`
with what was expected. So nothing that was read can fail later: in SQLite, in a header, on a terminal, or in JSON.
"""

import json
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from bridge.attempt import cut_in_the_middle, encodable
from bridge.event import parse_time

T = TypeVar("T")

MAX_COUNT = 2**31
MAX_NUMBER = 2**62
"""The highest number of an entry: a signed integer of 64 bits, as brokers and SQLite store it, holds it."""


def json_object(text: str | bytes) -> dict[str, Any]:
    """Return the object in a text. Raise `ValueError` for any other JSON, and for JSON that is nested too deep for
    Python."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None
    return mapping(value)


def mapping(value: object) -> dict[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {_shown(value)}")  # noqa: TRY004  # a wrong value, not a wrong call
    return value


def items(value: object) -> list[Any]:
    """Return a JSON array."""
    if not isinstance(value, list):
        raise ValueError(f"expected a list, got {_shown(value)}")  # noqa: TRY004
    return value


def any_text(value: object) -> str:
    """Return a text of any length. Lone surrogates, which UTF-8 cannot encode, are escaped."""
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {_shown(value)}")  # noqa: TRY004
    return encodable(value)


def cut_text(value: object, most: int) -> str:
    """Return a text of at most `most` characters: the middle of a longer one is cut. For texts that people read."""
    return cut_in_the_middle(any_text(value), most)


def exact_text(value: object, most: int) -> str:
    """Return a text unchanged. Raise `ValueError` if it is longer than `most` characters or has lone surrogates. For
    texts that programs compare."""
    if isinstance(value, str) and len(value) <= most and value.isascii():
        return value
    text = any_text(value)
    if len(text) > most or text is not value:
        raise ValueError(f"expected a text of at most {most} characters, got {_shown(value)}")
    return text


def texts(value: object, names: int, characters: int) -> dict[str, str]:
    """Return an object of texts: its first `names` fields, with names and values of at most `characters` each."""
    fields = list(mapping(value).items())[:names]
    return {cut_text(name, characters): cut_text(text, characters) for name, text in fields}


def count(value: object, most: int) -> int:
    """Return a count, at most `most`: a higher one is lowered to it. Raise `ValueError` if it exceeds `MAX_COUNT`."""
    found = _integer(value)
    if found > MAX_COUNT:
        raise ValueError(f"expected a count of at most {MAX_COUNT}")
    return min(found, most)


def number(value: object) -> int:
    """Return the number of an entry. Raise `ValueError` if it exceeds `MAX_NUMBER`."""
    found = _integer(value)
    if found > MAX_NUMBER:
        raise ValueError(f"expected a number of at most {MAX_NUMBER}")
    return found


def seconds(value: object, most: float) -> float:
    """Return a duration in seconds, at most `most`: a longer one is lowered to it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"expected seconds, got {_shown(value)}")
    return float(min(value, most))


def time(value: object) -> datetime:
    """Return the time of an RFC 3339 text, in UTC."""
    return parse_time(any_text(value))


def optional(read: Callable[[object], T], value: object) -> T | None:
    """Return None for null or an absent field, else the result of `read`."""
    return None if value is None else read(value)


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"expected a whole number, 0 or more, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """Return the beginning of a value for an error message, without formatting all of it."""
    if isinstance(value, str):
        return f"{value[:60]!r:.80}"
    if isinstance(value, float | bool) or value is None:
        return repr(value)
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else "an integer of more than 64 bits"
    return f"a {type(value).__name__}"
