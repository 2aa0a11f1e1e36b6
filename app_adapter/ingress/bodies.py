"""The bodies of requests: read within a limit of bytes, and JSON within a limit of depth."""

import re
from http import HTTPStatus
from itertools import accumulate
from typing import Any

from flask import Request

from app_adapter.ingress.problems import Problem, wrong
from bridge.strict_json import STRICT, NumberTooLarge, decoded, strict_json

_PIECE = 65536
# A string is skipped as a whole, also one without an end. The possessive repetition keeps the search linear.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(each for each in range(256) if each not in _STEPS)


def read_body(request: Request, most: int) -> bytes:
    """Return the body of a request. Raise `Problem` 413 for more than `most` bytes, without reading them all."""
    length = request.content_length
    if length is not None and length > most:
        raise _too_large(f"{length} bytes", most)
    pieces: list[bytes] = []
    left = most + 1
    stream = request.stream
    while left and (piece := stream.read(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    if not left:
        raise _too_large("a body of more bytes", most)
    return b"".join(pieces)


def json_of(data: bytes, max_depth: int) -> Any:
    """Return the value of JSON that is written again. Raise what `check_json` raises, and `Problem` 422 for a number
    that cannot be written again."""
    _check_depth(data, max_depth)
    try:
        return strict_json(data.decode())
    except NumberTooLarge as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"the body: {error}") from error
    except ValueError as error:
        raise _no_json(error) from error


def check_json(data: bytes, max_depth: int) -> None:
    """Raise `Problem` for data that claim to be JSON: 400 if they are not, 422 if they are too deep."""
    _check_depth(data, max_depth)
    try:
        decoded(data.decode(), STRICT)
    except (ValueError, RecursionError) as error:
        raise _no_json(error) from error


def depth_of(data: bytes) -> int:
    """Return how many arrays and objects are within each other in JSON, without decoding it."""
    brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _check_depth(data: bytes, most: int) -> None:
    if (found := depth_of(data)) > most:
        expected = f"expected arrays and objects within each other at most {most} deep (ingress.max_depth)"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is {found} deep: {expected}")


def _no_json(error: Exception) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"the body: expected JSON in UTF-8: {error}")


def _too_large(found: str, most: int) -> Problem:
    return wrong("body", found, f"expected at most {most} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
