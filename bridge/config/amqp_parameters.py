"""The parameters in RabbitMQ's URL, after the question mark: checked, and sorted into TLS and others. Pure."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from bridge.brokers.contract.tls import Tls
from bridge.config.closest import closest
from bridge.config.notation import number, one_of, text, yes_or_no

HEARTBEAT = 10
"""Seconds between heartbeats. After three of them without an answer, a frozen host is noticed."""

MOST_HEARTBEAT = 65534

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")


def _heartbeat(value: object) -> str:
    seconds = number(value, 0, MOST_HEARTBEAT)
    if not seconds.is_integer():
        raise ValueError("expected a whole number of seconds")
    return str(int(seconds))


def _some(value: object) -> str:
    return text(value, least=1)


def _seconds(value: object) -> str:
    return f"{number(value, 0):g}"


def _whole(value: object) -> str:
    return str(int(number(value, 0)))


def _base64(value: object) -> bytes:
    try:
        return base64.b64decode(text(value), validate=True)
    except binascii.Error:
        raise ValueError("expected certificates in DER format, in Base64") from None


_TLS: Mapping[str, tuple[str, Callable[[object], object]]] = {
    "cafile": ("ca", _some),
    "capath": ("ca_directory", _some),
    "cadata": ("ca_data", _base64),
    "certfile": ("cert", _some),
    "keyfile": ("key", _some),
    "no_verify_ssl": ("verify", lambda value: not yes_or_no(value)),
}
"""Parameters of TLS, with the field of `Tls` that each sets."""

_OTHERS: Mapping[str, Callable[[object], str]] = {
    "heartbeat": _heartbeat,
    "name": _some,
    "auth": lambda value: one_of("plain", "external")(text(value).lower()),
    "timeout": _seconds,
    "interleave": _whole,
    "happy_eyeballs_delay": _seconds,
}
"""Parameters of the client library."""


def read_parameters(query: str, tls: Tls, *, secure: bool) -> tuple[Tls, dict[str, str]]:
    """Return the TLS settings with those of the query, which are stronger, and the other parameters. `secure`: the
    scheme is amqps. Raise `ValueError`, whose message names the parameter and what was expected."""
    fields: dict[str, object] = {}
    others = {"heartbeat": str(HEARTBEAT)}
    for name, value in parse_qsl(query, keep_blank_values=True):
        reader = _TLS[name][1] if name in _TLS else _OTHERS.get(name)
        if reader is None:
            raise ValueError(_unknown(name, query))
        if name in _TLS and not secure:
            raise ValueError(f"parameter {name!r}: expected amqps://, because amqp:// uses no TLS")
        try:
            read = reader(value)
        except ValueError as error:
            raise ValueError(f"parameter {name}: {error}") from None
        if name in _TLS:
            fields[_TLS[name][0]] = read
        else:
            others[name] = str(read)
    return replace(tls, **fields), others  # type: ignore[arg-type]  # each reader returns its field's type


def _unknown(name: str, query: str) -> str:
    """Return the message for an unknown parameter. It does not quote what may be the end of a password with `?`."""
    known = (*_OTHERS, *_TLS)
    if "@" in query or not _NAME.fullmatch(name):
        return f"unknown parameter; write ? in a password as %3F; expected one of {', '.join(sorted(known))}"
    nearest = closest(name, known)
    expected = repr(nearest) if nearest else f"one of {', '.join(sorted(known))}"
    return f"unknown parameter {name!r}: expected {expected}"
