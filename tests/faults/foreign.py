"""Messages that our programs never write: invalid values for each part of a message. `input_faults` publishes them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aio_pika import DeliveryMode, Message

from bridge.brokers.rabbitmq.topology.messages import DECISION, DUE, ENVELOPE, LETTER
from bridge.envelope import MAX_TEXT

NO_TEXTS: tuple[Any, ...] = (None, 5, True, [], {}, ["a"], "", "\ud800", "a\r\nb: c", "\0", "x" * 70_000, "é" * 300)
NO_NUMBERS: tuple[Any, ...] = (None, -1, -(10**9), 10**30, 1e400, float("nan"), "5", "", [], {}, True, 0.5)
NO_TIMES: tuple[Any, ...] = (
    "",
    "now",
    "2026-13-01T00:00:00Z",
    "2026-01-01T00:00:00",
    "0001-01-01T00:00:00+14:00",
    0,
    None,
    [],
    "9" * 99,
)
NO_LISTS: tuple[Any, ...] = (None, 5, "abc", {"a": 1}, [None], [{}], [[]], {}, "", [5], ["\ud800"])
NO_ERRORS: tuple[Any, ...] = (5, "", "x", [], {"type": 5, "message": ""}, {"type": "a", "message": "b", "traceback": 5})
WRONG: Mapping[str, Iterable[Any]] = {
    **dict.fromkeys(("id", "type", "source", "datacontenttype", "traceparent"), NO_TEXTS),
    **dict.fromkeys(("time", "began", "overloaded_since"), NO_TIMES),
    **dict.fromkeys(("round", "waited", "deferred_again", "omitted"), NO_NUMBERS),
    "spent": [wrong for wrong in NO_NUMBERS if wrong not in (0.5, "5", True, 10**30)],
    **dict.fromkeys(("finished", "attempts"), NO_LISTS),
    "first_error": NO_ERRORS,
}
"""By field of an envelope's head: values that the field never has."""

NO_HEADS: tuple[Any, ...] = (
    "", "{", "null", "[]", '"v"', "1", "{}", '{"v":1}', '{"v":1,"v":2}', "[" * 50_000, "\x00", "é", 5,
    bytearray(b"\xff\xfe\xfd"), True, None, ["v"], {"v": 1}, 1.5,
)  # fmt: skip
NO_VERSIONS: tuple[Any, ...] = (0, 2, 99, -1, "1", None, [1], {"v": 1}, 10**30)

NO_HEADERS: tuple[Mapping[str, Any], ...] = (
    {"x-death": 5},
    {"x-death": [5, "a", {"queue": 5, "count": "many"}]},
    {"x-death": [{"queue": "q", "reason": "rejected", "count": 2**40, "exchange": "", "routing-keys": [5]}]},
    {"x-first-death-reason": ["expired"], "x-first-death-queue": 5},
    {"x-delivery-count": "many"},
    {"x-delivery-count": 2**40},
    {"x-acquired-count": {"a": 1}},
    {"h" * 120: {"a": {"b": {"c": [1, [2, [3]]]}}}},
    {"huge": "x" * 100_000},
    {f"h{number}": number for number in range(2_000)},
    {DUE: 5},
    {DUE: "0001-01-01T00:00:00+14:00"},
    {DUE: "soon"},
    {LETTER: "no letter"},
    {DECISION: '{"kind":"discarded"}'},
)

NO_PROPERTIES: tuple[Mapping[str, Any], ...] = (
    {"message_id": "the same"},
    {"message_id": "the same"},
    {"message_id": "é" * 100},
    {"app_id": "a\r\nb: c", "content_type": "text/\x00", "content_encoding": "gzip"},
    {"content_type": "application/json"},
    {"timestamp": 253402300799},
    {"priority": 200, "reply_to": "nobody", "correlation_id": "é" * 100, "type": "judged.other"},
    {"delivery_mode": DeliveryMode.NOT_PERSISTENT},
)

BODIES = (b"", b"\xff\xfe", b"{", b"[" * 100_000, b"NaN", b'{"do":5}', b"9" * 5_000, b"null")

NO_NAMES = (
    "judged.%s e",
    "judged.%s é",
    "judged..%s",
    "judged.%s.",
    "%s\n",
    "judged.%s." + "x" * 200,
    "judged.%s#",
    " %s",
)


class Octets(str):
    """A text that goes onto the wire as latin-1, one octet for each code point: pamqp calls `encode` of a string."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A message that none of our programs wrote. `key` identifies it for the judge. `name` is the routing key, or the
    message type if the routing key is the name of a queue; empty: the name is made from the key."""

    key: str
    headers: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b'{"do":["ok"]}'
    name: str = ""

    def message(self, message_type: str | None = None) -> Message:
        named = {"type": message_type} if message_type is not None else {}
        return Message(self.body, headers=dict(self.headers), **{**self.properties, **named})


def damaged(prefix: str) -> Iterator[Foreign]:
    """Yield messages with an envelope that cannot be read, or that none of our programs writes."""
    numbers = iter(range(10_000))

    def key() -> str:
        return f"{prefix}-{next(numbers)}"

    for no_head in NO_HEADS:
        yield Foreign(key(), {ENVELOPE: no_head})
    for version in NO_VERSIONS:
        yield _with_head(key(), v=version)
    for name, values in WRONG.items():
        for wrong in values:
            yield _with_head(key(), **{name: wrong})
    for time in ("0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"):
        yield _with_head(key(), time=time, began=time)
    yield Foreign(name := key(), {ENVELOPE: head(name)}, {"expiration": 0})
    yield _with_head(key(), attempts=[{"round": 1, "number": 1, "started": "now", "seconds": 1e400, "outcome": 5}])


def strange(prefix: str) -> Iterator[Foreign]:
    """Yield messages without an envelope that have unusual headers, properties, bodies or names."""
    for number, headers in enumerate(NO_HEADERS):
        yield Foreign(f"{prefix}-h{number}", headers)
    for number, properties in enumerate(NO_PROPERTIES):
        yield Foreign(f"{prefix}-p{number}", properties=properties)
    for number, body in enumerate(BODIES):
        yield Foreign(f"{prefix}-b{number}", body=body)
        yield Foreign(f"{prefix}-j{number}", body=body, properties={"content_type": "application/json"})
    for number, name in enumerate(NO_NAMES):
        name %= f"{prefix}-n{number}"
        yield Foreign(name.removeprefix("judged."), name=name)


def _with_head(key: str, **wrong: Any) -> Foreign:
    named = wrong.get("type")
    if not isinstance(named, str) or len(named) > MAX_TEXT or named == "\ud800":
        named = key  # the type is invalid, so the ledger has the message under its routing key
    return Foreign(named, {ENVELOPE: head(key, **wrong)}, name=f"judged.{key}")


def head(key: str, **wrong: Any) -> str:
    """Return the head of an envelope as JSON, with these fields instead of the correct ones."""
    now = "2026-01-01T00:00:00.000000Z"
    right = {"v": 1, "id": key, "type": f"judged.{key}", "source": "s", "time": now, "began": now}
    return json.dumps({**right, "datacontenttype": "application/json", **wrong})


def octets(key: str) -> Foreign:
    """Return a message whose name, headers and properties are not valid UTF-8."""
    name = f"judged.{key}ÿþ"
    headers = {Octets("\xff"): Octets("\xfe\xff"), "a": Octets("\xc0")}
    properties = {"message_id": Octets("\xff1"), "app_id": Octets("\xff"), "content_type": Octets("\xff")}
    return Foreign(f"{key}\\xff\\xfe", headers, properties, b"", Octets(name))
