"""A whole request that is encoded before a connection is chosen. The connection adds the request id."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.fastcgi.errors import InvalidRequest
from bridge.fastcgi.params import encode_params

_LENGTH = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A request that can be sent over any connection, and sent again over another connection.

    `params` are the contents of its PARAMS records. `bodiless` is True if its reply has no body, as for HEAD.
    """

    params: tuple[bytes, ...]
    body: bytes
    bodiless: bool = False


def encode_request(params: Mapping[str, str | bytes], body: bytes) -> EncodedRequest:
    """Encode a request. Raise `InvalidRequest` for parameters that cannot be sent (see `encode_params`), and if
    CONTENT_LENGTH is not the length of the body."""
    length = content_length(params)
    if length != len(body):
        raise InvalidRequest(f"a body of {len(body)} bytes: expected {length} by CONTENT_LENGTH")
    return EncodedRequest(tuple(encode_params(params)), body, is_bodiless(params))


def content_length(params: Mapping[str, str | bytes]) -> int:
    """Return the CONTENT_LENGTH in bytes. Raise `InvalidRequest` if it is missing or not a number."""
    value = params.get("CONTENT_LENGTH", "")
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if _LENGTH.fullmatch(text) is None:
        raise InvalidRequest(f"CONTENT_LENGTH {text!r:.100}: expected the number of bytes of the body")
    return int(text)


def is_bodiless(params: Mapping[str, str | bytes]) -> bool:
    """Return whether the reply to this request has no body."""
    return params.get("REQUEST_METHOD") in ("HEAD", b"HEAD")
