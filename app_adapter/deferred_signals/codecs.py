"""The codecs of an extension, and the form of a value on its way.

The values of JSON travel as they are. Any other is an object with one key, `@` and the name of its codec:
`{"@decimal": "9.90"}`. The name is only looked up among the codecs that the app has: decoding imports nothing, and
calls nothing that the app has not registered.
"""

import math
from collections.abc import Callable
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

from flask import Flask
from werkzeug.local import LocalProxy

from app_adapter.callable_checks import check_callable
from app_adapter.deferred_signals.names import qualified_name
from app_adapter.deferred_signals.plain_codecs import OF_DATABASES, PLAIN, Codec, codec_of_dataclass, codec_of_enum
from app_adapter.registrations import is_same_source
from bridge.errors import InvalidPayload, shown

APP = "app"
"""The name that stands for the app itself, the usual sender of a signal."""

DEEPEST = 100
"""Levels of values within values that can travel. A list that contains itself has no end."""

MAX_BITS = 14_000
"""Size of an integer that can travel. Python reads no decimal number of more than 4,300 digits."""


class Codecs:
    """The codecs of all apps of an extension, by type and by name."""

    def __init__(self) -> None:
        self._by_kind = {codec.kind: codec for codec in PLAIN}
        self._by_name = {codec.name: codec for codec in (*PLAIN, *OF_DATABASES)}

    def register(
        self,
        kind: type,
        encode: Callable[[Any], Any] | None,
        decode: Callable[[Any], Any] | None,
        name: str | None,
    ) -> None:
        """Add a codec; see `DeferredSignals.codec`."""
        new = _codec(kind, encode, decode, name)
        old = self._by_kind.get(kind) or self._by_name.get(new.name)
        if (old is not None and not _is_again(old, new)) or new.name == APP:
            raise ValueError(
                f"codec of {kind!r} with the name {new.name!r}: expected a type and a name without a codec"
            )
        self._by_kind[kind] = self._by_name[new.name] = new

    def has(self, kind: type) -> bool:
        """Return True if this type itself has a codec."""
        return kind in self._by_kind

    def encoded(self, value: Any, app: Flask, path: str) -> Any:
        """Return the value as JSON has it. `path` names the value in messages. Raise `InvalidPayload`, which names the
        innermost value that cannot travel, its type, and what was expected."""
        return self._encoded(value, app, path, 0)

    def decoded(self, written: Any, app: Flask) -> Any:
        """Return the value that was encoded, of this app. Raise `ValueError` for a name without a codec, `LookupError`
        if a codec found nothing, and what codecs raise."""
        if isinstance(written, list):
            return [self.decoded(each, app) for each in written]
        if not isinstance(written, dict):
            return written
        name = next(iter(written), "")
        if len(written) != 1 or not name.startswith("@"):
            return {key: self.decoded(value, app) for key, value in written.items()}
        return self._made(name[1:], written[name], app)

    def _encoded(self, value: Any, app: Flask, path: str, depth: int) -> Any:
        if depth > DEEPEST:
            raise InvalidPayload(f"{path[:200]}…: expected at most {DEEPEST} levels of values, none within itself")
        if isinstance(value, LocalProxy):
            value = value._get_current_object()
        if _is_json(value):
            return value
        if type(value) is list:
            return [self._encoded(each, app, f"{path}[{at}]", depth + 1) for at, each in enumerate(value)]
        if type(value) is dict and all(type(key) is str and not key.startswith("@") for key in value):
            return {key: self._encoded(each, app, f"{path}[{shown(key)}]", depth + 1) for key, each in value.items()}
        if value is app:
            return {f"@{APP}": app.name}
        codec = self._codec_of(type(value))
        if codec is None:
            raise InvalidPayload(f"{path} is {_unknown(value)}")
        return {f"@{codec.name}": self._encoded(_simpler(codec, value, path), app, path, depth + 1)}

    def _codec_of(self, kind: type) -> Codec | None:
        """Return the codec of a type: its own, or the nearest of a base class that takes subclasses."""
        found = (self._by_kind[base] for base in kind.__mro__ if base in self._by_kind)
        codec = next(found, None)
        return codec if codec is None or codec.kind is kind or not codec.exact else None

    def _made(self, name: str, written: Any, app: Flask) -> Any:
        if name == APP:
            return app
        codec = self._by_name.get(name)
        if codec is None:
            raise ValueError(f"no codec {name!r} in this app: expected it to be registered with events.codec()")
        inner = self.decoded(written, app)
        value = codec.decode(inner)
        if value is None:
            raise LookupError(f"the codec {name!r} found nothing for {shown(inner)}")
        return value


def _codec(
    kind: type, encode: Callable[[Any], Any] | None, decode: Callable[[Any], Any] | None, name: str | None
) -> Codec:
    if not isinstance(kind, type):
        raise TypeError(f"codec of {shown(kind)}: expected a class")
    name = name or qualified_name(kind, "class")
    if encode is not None and decode is not None:
        check_callable(f"codec {name!r}: encode", encode, "a value")
        check_callable(f"codec {name!r}: decode", decode, "what encode returned")
        return Codec(name, kind, encode, decode, exact=False)
    if encode is None and decode is None and issubclass(kind, Enum):
        return codec_of_enum(name, kind)
    if encode is None and decode is None and is_dataclass(kind):
        return codec_of_dataclass(name, kind)
    raise TypeError(f"codec of {name!r}: expected encode and decode, or an enum or a dataclass without them")


def _is_again(old: Codec, new: Codec) -> bool:
    """Return True if the same codec is registered again, as by a factory that is called twice."""
    same = (old.kind, old.name, old.exact) == (new.kind, new.name, new.exact)
    return same and is_same_source(old.encode, new.encode) and is_same_source(old.decode, new.decode)


def _is_json(value: object) -> bool:
    """Return True if JSON has the value: exactly, and not as an instance of a subclass, which would lose its type."""
    kind = type(value)
    if kind is int:
        return value.bit_length() <= MAX_BITS  # type: ignore[attr-defined, no-any-return]  # as its type says
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]  # as above
    return value is None or kind is bool or kind is str


def _simpler(codec: Codec, value: Any, path: str) -> Any:
    """Return what the codec encodes the value to. None would be no value that anything can be found by."""
    try:
        simpler = codec.encode(value)
    except TimeoutError:  # of the app's own signal handler
        raise
    except Exception as error:  # the codec is the app's
        raise InvalidPayload(f"{path} cannot travel: {type(error).__name__}: {error}") from error
    if simpler is None:
        raise InvalidPayload(
            f"{path} cannot travel: the codec {codec.name!r} returned None: expected a value to find it by, such as "
            "the identity of a committed record"
        )
    return simpler


def _unknown(value: object) -> str:
    kind = type(value)
    if kind is int:
        return f"an integer of {value.bit_length()} bits: expected at most {MAX_BITS}"  # type: ignore[attr-defined]
    if isinstance(value, Flask):
        return f"the Flask app {value.name!r}: expected the app that sends"
    remedy = (
        f"events.codec({kind.__name__})"
        if isinstance(value, Enum) or is_dataclass(value)
        else f"events.codec({kind.__name__}, encode, decode)"
    )
    names = ", ".join(codec.name for codec in PLAIN if codec.name not in ("float", "dict"))
    return f"of the type {kind.__module__}.{kind.__qualname__}: expected a value of JSON, {names}, the app, or {remedy}"
