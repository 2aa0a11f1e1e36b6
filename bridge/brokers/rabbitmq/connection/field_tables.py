"""Decodes AMQP field tables, such as the headers of a message, within bounds. Pure.

Any program may publish a message with any headers, and RabbitMQ passes them on as they are. So no header raises, and
the work is bounded: values nested deeper than `MAX_DEPTH` are None, and of one table at most `MAX_VALUES` values are
decoded. The headers that programs of the bridge read are always decoded, wherever they are in the table.
"""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

MAX_DEPTH = 8
MAX_VALUES = 1000
WANTED = (b"bridge-", b"x-")
"""The beginnings of the names of headers that programs of the bridge and RabbitMQ write."""

_LONG_STRING = ord("S")
UNDECODABLE = "backslashreplace"
MILLISECONDS_FROM = 0xFFFFFFFF


def table(data: bytes) -> tuple[int, dict[str, Any]]:
    """Decode a table. Return the number of bytes it takes, and its fields. A part that is no valid field ends it. Raise
    `ValueError` for a table that is longer than `data`."""
    end = 4 + int.from_bytes(data[:4])
    if end > len(data):
        raise ValueError("a table that is longer than its frame")
    return end, _one_text(data, end) or _Decoder(data).table(4, end, 0)


def _one_text(data: bytes, end: int) -> dict[str, Any] | None:
    """Return the field of a table that is one text, as in most messages; None for any other table."""
    kind_at = 5 + data[4] if end > 4 else end
    text_at = kind_at + 5
    if text_at > end or data[kind_at] != _LONG_STRING or text_at + int.from_bytes(data[kind_at + 1 : text_at]) != end:
        return None
    return {_name(data[5:kind_at]): _text(data[text_at:end])}


def short_string(data: bytes) -> tuple[int, str]:
    """Decode a short string. Return the number of bytes it takes, and its text. Raise `ValueError` without any byte."""
    if not data:
        raise ValueError("a short string without a length")
    end = data[0] + 1
    return end, data[1:end].decode(errors=UNDECODABLE)


def time(data: bytes) -> tuple[int, datetime | None]:
    """Decode a time. Return the number of bytes it takes, and the time; None if it is beyond the calendar."""
    return 8, _time(data[:8])


class _Broken(Exception):
    """The rest of a table or array cannot be decoded."""


class _Decoder:
    """Decodes the values of one table, and counts them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_VALUES

    def table(self, at: int, end: int, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        try:
            while at < end:
                name_end = at + 1 + self._data[at]
                raw = self._data[at + 1 : name_end]
                kind, start, stop = self._extent(name_end, end)
                own = depth == 0 and raw.startswith(WANTED)
                if own or self._left > 0:
                    fields[_name(raw)] = self._value(kind, start, stop, depth)
                at = stop
        except _Broken:
            pass
        return fields

    def _array(self, at: int, end: int, depth: int) -> list[Any]:
        values: list[Any] = []
        try:
            while at < end and self._left > 0:
                kind, start, at = self._extent(at, end)
                values.append(self._value(kind, start, at, depth))
        except _Broken:
            pass
        return values

    def _extent(self, at: int, end: int) -> tuple[bytes, int, int]:
        """Return the type of the value at a place, and where its content starts and ends."""
        kind = self._data[at : at + 1]
        start = at + 1
        if kind in _FIXED:
            stop = start + _FIXED[kind][0]
        elif kind in _WITH_LENGTH:
            stop = start + 4 + int.from_bytes(self._data[start : start + 4])
            start += 4
        else:
            raise _Broken
        if stop > end:
            raise _Broken
        return kind, start, stop

    def _value(self, kind: bytes, start: int, stop: int, depth: int) -> Any:
        self._left -= 1
        if kind == b"F":
            return self.table(start, stop, depth + 1) if depth < MAX_DEPTH else None
        if kind == b"A":
            return self._array(start, stop, depth + 1) if depth < MAX_DEPTH else None
        content = self._data[start:stop]
        return _text(content) if kind == b"S" else _FIXED[kind][1](content) if kind in _FIXED else bytearray(content)


@lru_cache(maxsize=256)
def _name(raw: bytes) -> str:
    return raw.decode(errors=UNDECODABLE)


def _text(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


@lru_cache(maxsize=256)  # the messages of a second have the same time
def _time(content: bytes) -> datetime | None:
    seconds = int.from_bytes(content)
    try:
        return datetime.fromtimestamp(seconds / 1000 if seconds > MILLISECONDS_FROM else seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _number(form: str) -> Callable[[bytes], Any]:
    read = struct.Struct(form).unpack
    return lambda content: read(content)[0]


def _decimal(content: bytes) -> Decimal:
    return Decimal(int.from_bytes(content[1:], signed=True)).scaleb(-content[0])


_FIXED: dict[bytes, tuple[int, Callable[[bytes], Any]]] = {
    b"t": (1, lambda content: content != b"\0"),
    b"b": (1, _number(">b")),
    b"B": (1, _number(">B")),
    b"s": (2, _number(">h")),
    b"u": (2, _number(">H")),
    b"I": (4, _number(">i")),
    b"i": (4, _number(">I")),
    b"l": (8, _number(">q")),
    b"L": (8, _number(">q")),
    b"f": (4, _number(">f")),
    b"d": (8, _number(">d")),
    b"D": (5, _decimal),
    b"T": (8, _time),
    b"V": (0, lambda content: None),
    b"\0": (0, lambda content: None),
}
"""The size in bytes and the decoder of each type with a fixed size."""

_WITH_LENGTH = (b"S", b"x", b"A", b"F")
