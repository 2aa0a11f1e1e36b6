"""The codecs of Python's own types, and those that are made for an enum or a dataclass of the app.

A codec turns a value into simpler ones, which are encoded in their turn, and makes the value again from them.
"""

import base64
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from bridge.errors import shown


@dataclass(frozen=True, slots=True)
class Codec:
    """How the values of one type travel. `name` stands for the type in the payload. An `exact` codec takes no instances
    of subclasses, of which it would lose a part."""

    name: str
    kind: type
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    exact: bool = True


def _from_datetime(moment: datetime) -> Any:
    """Return ISO 8601, and for a ZoneInfo the wall clock's time with the zone's name and `fold`."""
    if isinstance(moment.tzinfo, ZoneInfo) and moment.tzinfo.key is not None:
        return [moment.replace(tzinfo=None).isoformat(), moment.tzinfo.key, moment.fold]
    return moment.isoformat()


def _to_datetime(written: Any) -> datetime:
    if isinstance(written, list):
        text, zone, fold = written
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return datetime.fromisoformat(written)


def _from_time(moment: time) -> str:
    if moment.tzinfo is not None and moment.utcoffset() is None:
        raise ValueError(f"{shown(moment)}: expected a time without a zone, because its offset depends on the day")
    return moment.isoformat()


def _from_timedelta(span: timedelta) -> list[int]:
    return [span.days, span.seconds, span.microseconds]


PLAIN = (
    Codec("float", float, repr, float),  # NaN and the infinities: JSON has all others
    Codec("dict", dict, lambda items: [[key, value] for key, value in items.items()], dict),
    Codec("tuple", tuple, list, tuple),
    Codec("set", set, list, set),
    Codec("frozenset", frozenset, list, frozenset),
    Codec(
        "bytes", bytes, lambda data: base64.b64encode(data).decode(), lambda text: base64.b64decode(text, None, True)
    ),
    Codec("datetime", datetime, _from_datetime, _to_datetime),
    Codec("date", date, date.isoformat, date.fromisoformat),
    Codec("time", time, _from_time, time.fromisoformat),
    Codec("timedelta", timedelta, _from_timedelta, lambda parts: timedelta(*parts)),
    Codec("decimal", Decimal, str, Decimal),
    Codec("uuid", UUID, str, UUID),
)
"""The types that every app can send besides those of JSON."""


OF_DATABASES = (Codec("hex", bytes, bytes.hex, bytes.fromhex), Codec("json", object, json.dumps, json.loads))
"""The tags that only triggers of databases write (`bridge-outbox trigger`), because not every database has base64."""


def codec_of_enum(name: str, kind: type[Enum]) -> Codec:
    """Return the codec of an enum: its members travel by their name, and those of a `Flag` by their value."""
    if issubclass(kind, Flag):
        return Codec(name, kind, lambda member: member.value, kind)
    return Codec(name, kind, lambda member: member.name, lambda member_name: kind[member_name])


def codec_of_dataclass(name: str, kind: type) -> Codec:
    """Return the codec of a dataclass: its fields travel, and the class is called with them.

    So `__post_init__` checks what arrives. A field that is not in the payload has its default. Raise `TypeError` for a
    dataclass that cannot be made from its fields alone.
    """
    all_fields = {each.name: each for each in fields(kind)}
    passed = {each.name for each in all_fields.values() if each.init}
    needed = {each.name for each in inspect.signature(kind).parameters.values() if each.default is each.empty}
    if needed - passed:
        raise TypeError(
            f"codec of {name!r}: the class cannot be made from its fields, because it needs "
            f"{', '.join(sorted(needed - passed))}: pass encode and decode"
        )

    def decode(values: Any) -> Any:
        unknown = set(values) - set(all_fields)
        if unknown:
            raise ValueError(f"{name}: expected the fields {', '.join(all_fields)}, got {shown(sorted(unknown))} too")
        made = kind(**{field: value for field, value in values.items() if field in passed})
        for field in set(values) - passed:
            object.__setattr__(made, field, values[field])  # the class may be frozen
        return made

    return Codec(name, kind, lambda value: {field: getattr(value, field) for field in all_fields}, decode)
