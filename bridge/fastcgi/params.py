"""Name-value pairs: the encoding of CGI parameters in PARAMS records, and the decoding. They can be any parameters.

name length | value length | name | value        a length is one byte below 128, else four with the top bit set
"""

import re
import struct
import sys
from collections.abc import Mapping
from functools import lru_cache

from bridge.fastcgi.errors import InvalidRequest
from bridge.fastcgi.records import SENT_CONTENT

SHORT = 64
"""Pairs whose values are shorter than this are cached in encoded form, because most parameters are the same in every
request."""

_USUAL_NAMES = {
    name: sys.intern(name)
    for name in (
        *("GATEWAY_INTERFACE", "SERVER_SOFTWARE", "SERVER_PROTOCOL", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR"),
        *("REQUEST_METHOD", "REQUEST_SCHEME", "REQUEST_URI", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_HOST"),
        *("CONTENT_TYPE", "CONTENT_LENGTH", "BRIDGE_REPLAY", "BRIDGE_ATTEMPT", "BRIDGE_QUEUE", "BRIDGE_FINISHED"),
        *("HTTP_CE_ID", "HTTP_CE_TIME", "HTTP_CE_TYPE", "HTTP_CE_SOURCE", "HTTP_CE_SPECVERSION", "HTTP_TRACEPARENT"),
    )
}
"""Names that are looked up in each request. A lookup of the same object is faster than that of an equal text."""

_LONG_LENGTH = struct.Struct(">I")
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


def encode_params(params: Mapping[str, str | bytes]) -> list[bytes]:
    """Return the contents of the PARAMS records that carry `params`. Each has at most 65,528 bytes and holds whole
    pairs, because flup and PHP-FPM lose or truncate a pair that is split over two records.

    A str value is sent as UTF-8, bytes as they are. Raise `InvalidRequest`, which names the parameter, for a name that
    does not match `[A-Z][A-Z0-9_]*`, for text that UTF-8 cannot encode, and for a pair that is too long for one record.
    """
    contents: list[bytes] = []
    pieces: list[bytes] = []
    size = 0
    for name, value in params.items():
        pair = _encode_short_pair(name, value) if len(value) < SHORT else _encode_pair(name, value)
        size += len(pair)
        if size > SENT_CONTENT:
            if len(pair) > SENT_CONTENT:
                raise InvalidRequest(f"{name} takes {len(pair)} bytes: expected at most {SENT_CONTENT}")
            contents.append(b"".join(pieces))
            pieces, size = [], len(pair)
        pieces.append(pair)
    if pieces:
        contents.append(b"".join(pieces))
    return contents


def append_params(encoded: bytes, params: Mapping[str, str]) -> tuple[bytes, ...] | None:
    """Return the content of the PARAMS record with parameters that `encode_params` has encoded and these further ones,
    which are not cached. Return None if one record cannot hold them all. Raise `InvalidRequest`."""
    pieces = [encoded]
    for name, value in params.items():
        text = _encode_value(name, value)
        pieces += (_encode_beginning(name, len(text)), text)
    content = b"".join(pieces)
    return (content,) if len(content) <= SENT_CONTENT else None


def _encode_pair(name: str, value: str | bytes) -> bytes:
    data = _encode_value(name, value) if isinstance(value, str) else value
    return _encode_beginning(name, len(data)) + data


def _encode_value(name: str, value: str) -> bytes:
    """Return a value as UTF-8. If that cannot be done, raise the error of the name, if it has one, else the value's."""
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        _encode_name(name)
        raise InvalidRequest(f"{name} cannot be sent as UTF-8: {error.reason}") from error


@lru_cache(maxsize=1024)
def _encode_beginning(name: str, length: int) -> bytes:
    """Return all of a pair before its value, which has this length."""
    key = _encode_name(name)
    return _encode_length(len(key)) + _encode_length(length) + key


def _encode_name(name: str) -> bytes:
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest(f"parameter name {name!r:.100}: expected [A-Z][A-Z0-9_]*")
    return name.encode("ascii")


_encode_short_pair = lru_cache(maxsize=1024)(_encode_pair)


def _encode_length(length: int) -> bytes:
    if length < 0x80:
        return length.to_bytes(1, "big")
    if length > 0x7FFF_FFFF:
        raise InvalidRequest(f"a name or value of {length} bytes: expected at most {0x7FFF_FFFF}")
    return (length | 0x8000_0000).to_bytes(4, "big")


def decode_params(encoded: bytes) -> dict[str, str]:
    """Return the pairs of a whole PARAMS stream, decoded as ISO-8859-1. Raise `ValueError` if a pair is cut off.

    It is one loop for speed, because every request has some two dozen pairs.
    """
    text = encoded.decode("latin-1")
    params: dict[str, str] = {}
    usual = _USUAL_NAMES.get
    at = end = 0
    try:
        while at < len(encoded):
            name_length, value_length = encoded[at], encoded[at + 1]
            if name_length < 0x80 > value_length:
                at += 2
            else:
                name_length, at = _decode_length(encoded, at)
                value_length, at = _decode_length(encoded, at)
            end = at + name_length + value_length
            name = text[at : at + name_length]
            params[usual(name, name)] = text[at + name_length : end]
            at = end
    except (IndexError, struct.error) as error:
        raise ValueError(f"parameters of {len(encoded)} bytes end in a length") from error
    if end > len(encoded):
        raise ValueError(f"parameters of {len(encoded)} bytes: expected {end} by their own lengths")
    return params


LEARNT = 16 * 1024
"""Bytes of the longest parameters whose beginning is remembered."""


class ParamsDecoder:
    """Decodes the parameters of one request after the other. The beginning that they have in common is decoded once."""

    def __init__(self) -> None:
        self._last = b""
        self._common = b""
        self._decoded: dict[str, str] = {}

    def decode(self, encoded: bytes) -> dict[str, str]:
        """Return what `decode_params` returns, and raise what it raises."""
        if not self._common or not encoded.startswith(self._common):
            params = decode_params(encoded)
            if len(encoded) <= LEARNT:
                self._learn(encoded)
            return params
        return {**self._decoded, **decode_params(encoded[len(self._common) :])}

    def _learn(self, encoded: bytes) -> None:
        """Remember the whole pairs at the beginning that these parameters have in common with the last ones."""
        last, self._last = self._last, encoded
        common = 0
        while common < len(encoded):
            name_length, at = _decode_length(encoded, common)
            value_length, at = _decode_length(encoded, at)
            end = at + name_length + value_length
            if last[common:end] != encoded[common:end]:
                break
            common = end
        self._common, self._decoded = encoded[:common], decode_params(encoded[:common])


def _decode_length(encoded: bytes, at: int) -> tuple[int, int]:
    """Return the length that is encoded at this place, and the place after it. A length is one byte, or four bytes with
    the top bit set."""
    if encoded[at] < 0x80:
        return encoded[at], at + 1
    (length,) = _LONG_LENGTH.unpack_from(encoded, at)
    return length & 0x7FFF_FFFF, at + 4
