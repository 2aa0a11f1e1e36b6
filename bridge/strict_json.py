"""Reads JSON that is to be written again. Python's decoder alone also takes NaN and Infinity, which JSON does not have,
and reads a number such as 1e400 as Infinity. Pure."""

import json
import math
from typing import Any, NoReturn


class NumberTooLarge(ValueError):
    """JSON has a number that no float holds. The message names it."""


def strict_json(text: str | bytes) -> Any:
    """Return the value of a text. Raise `NumberTooLarge`, and `ValueError` for a text that is not JSON or is nested too
    deep for Python."""
    try:
        return decoded(text, _FINITE)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def decoded(text: str | bytes, decoder: json.JSONDecoder) -> Any:
    """Return what `json.loads` returns, which makes a decoder for each text. Raise what it raises."""
    if isinstance(text, bytes) or text.startswith(_BYTE_ORDER_MARK):
        return json.loads(text, parse_constant=decoder.parse_constant, parse_float=decoder.parse_float)
    return decoder.decode(text)


def refuse_constant(constant: str) -> NoReturn:
    """Refuse what `json.loads` takes for a constant: NaN, Infinity or -Infinity."""
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NumberTooLarge(f"{text:.60} is too large for a float of 64 bits")
    return number


STRICT = json.JSONDecoder(parse_constant=refuse_constant)
"""Takes no constants that JSON does not have, and any number."""

_FINITE = json.JSONDecoder(parse_constant=refuse_constant, parse_float=_finite)
_BYTE_ORDER_MARK = "\ufeff"
