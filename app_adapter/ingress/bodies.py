"""The bodies of requests: read within a limit of bytes, and JSON within a limit of depth."""

import json
import re
from http import HTTPStatus
from itertools import accumulate
from typing import Any, NoReturn

from flask import Request

from app_adapter.ingress.problems import Problem, wrong

_PIECE = 65536
# A string is skipped as a whole, also one without an end. The possessive repetition keeps the search linear.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(each for each in range(256) if each not in _STEPS)


def read_body(request: Request, most: int) -> bytes:
    """Return the body of a request. Raise `Problem` 413 for more than `most` bytes, without reading them all."""
    length = request.content_length
    if length is not None and length > most:
        raise _too_large(f"{length} bytes", most)
    pieces: list[bytes] = []
    left = most + 1
    while left and (piece := request.stream.read(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    if not left:
        raise _too_large("a body of more bytes", most)
    return b"".join(pieces)


def json_of(data: bytes, max_depth: int, what: str = "the body") -> Any:
    """Return the value that is written as JSON. Raise `Problem`: 400 for anything else, 422 if it is too deep."""
    found = depth_of(data)
    if found > max_depth:
        expected = f"expected arrays and objects within each other at most {max_depth} deep (ingress.max_depth)"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{what} is {found} deep: {expected}")
    try:
        return json.loads(data.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"{what}: expected JSON in UTF-8: {error}") from error


def depth_of(data: bytes) -> int:
    """Return how many arrays and objects are within each other in JSON, without decoding it."""
    brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _too_large(found: str, most: int) -> Problem:
    return wrong("body", found, f"expected at most {most} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
