"""Faults of what comes in: messages and rows that no program of ours ever wrote, amid those that it did."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractExchange

from bridge.brokers.rabbitmq.topology import Names
from bridge.brokers.rabbitmq.wire import DECISION, DUE, ENVELOPE, LETTER
from bridge.envelope import MAX_TEXT
from tests.faults.ordeal import Fault
from tests.faults.stage import Stage

MEGABYTE = 1024 * 1024
LARGE = 16 * MEGABYTE
LARGE_AT_ONCE = 6
MEMORY = 640 * MEGABYTE
"""Bytes that a worker may have had resident at most, with large messages in its hands."""

FOREIGN_A_SECOND = 500
IN_FLIGHT = 100

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
"""By field of an envelope's head: what it never has."""

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
    """A text that goes onto the wire as the octets of these code points: pamqp encodes what it is given."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A message of no program of ours. `key` is what the judge knows it by, `type` its name where its routing key is a
    queue's."""

    key: str
    headers: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b'{"do":["ok"]}'
    name: str = ""

    def message(self, message_type: str | None = None) -> Message:
        named = {"type": message_type} if message_type is not None else {}
        return Message(self.body, headers=dict(self.headers), **{**self.properties, **named})


def damaged(prefix: str) -> Iterator[Foreign]:
    """Yield messages whose envelope no program can read, or none of ours has written."""
    numbers = iter(range(10_000))

    def key() -> str:
        return f"{prefix}-{next(numbers)}"

    for head in NO_HEADS:
        yield Foreign(key(), {ENVELOPE: head})
    for version in NO_VERSIONS:
        yield _with_head(key(), v=version)
    for name, values in WRONG.items():
        for wrong in values:
            yield _with_head(key(), **{name: wrong})
    for time in ("0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"):
        yield _with_head(key(), time=time, began=time)
    yield Foreign(name := key(), {ENVELOPE: _head(name)}, {"expiration": 0})
    yield _with_head(key(), attempts=[{"round": 1, "number": 1, "started": "now", "seconds": 1e400, "outcome": 5}])


def strange(prefix: str) -> Iterator[Foreign]:
    """Yield messages without an envelope, that are strange in another way."""
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
        named = key  # it goes to the ledger under its routing key
    return Foreign(named, {ENVELOPE: _head(key, **wrong)}, name=f"judged.{key}")


def _head(key: str, **wrong: Any) -> str:
    now = "2026-01-01T00:00:00.000000Z"
    head = {"v": 1, "id": key, "type": f"judged.{key}", "source": "s", "time": now, "began": now}
    return json.dumps({**head, "datacontenttype": "application/json", **wrong})


async def publish_damaged(stage: Stage) -> None:
    """Messages that no envelope has, into the exchange of events and straight into a queue."""
    prefix = f"i{stage.count('hurt')}"
    messages = [*damaged(f"{prefix}e"), *strange(f"{prefix}s"), Foreign(*_octets(f"{prefix}o"))]
    await _publish(stage, messages, Names(stage.site.namespace).events)
    await _publish(stage, list(damaged(f"{prefix}q")), "")
    stage.hurt("messages that no envelope has")


async def publish_large(stage: Stage) -> None:
    """Messages of 16 MiB: with an envelope and without, some that are rejected."""
    prefix = f"l{stage.count('hurt')}"
    body = json.dumps({"do": ["ok"], "more": ""}).encode()
    rejected = json.dumps({"do": ["reject"], "more": ""}).encode()
    messages = [Foreign(f"{prefix}-{number}", body=b"\0" * LARGE) for number in range(LARGE_AT_ONCE // 3)]
    for number in range(LARGE_AT_ONCE // 3):
        head = {ENVELOPE: _head(f"{prefix}-e{number}")}
        messages.append(Foreign(f"{prefix}-e{number}", head, {"message_id": f"{prefix}{number}"}, _grown(body)))
        messages.append(Foreign(f"{prefix}-r{number}", {}, {"content_type": "application/json"}, _grown(rejected)))
    await _publish(stage, messages, Names(stage.site.namespace).events)
    await stage.reaches("effect", 20)
    stage.hurt("messages of 16 MiB")
    for worker in stage.workers:
        most = _most_memory(worker.process.pid)
        assert most < MEMORY, f"a worker had {most // MEGABYTE} MiB resident"


async def publish_bare(stage: Stage) -> None:
    """Thousands of messages with no properties at all."""
    prefix = f"b{stage.count('hurt')}"
    messages = [Foreign(f"{prefix}-{number}", body=b"") for number in range(int(FOREIGN_A_SECOND * stage.hold))]
    await _publish(stage, messages, Names(stage.site.namespace).events)
    stage.hurt("messages with no properties")


async def write_rows(stage: Stage) -> None:
    """Rows that a newer version wrote, or a broken one: heads that nothing can read, text that is none."""
    prefix = f"r{stage.count('hurt')}"
    places = [(queue, how) for queue in ("default", None) for how in ("?", "CAST(? AS TEXT)", "CAST(? AS BLOB)")]
    with closing(sqlite3.connect(stage.site.directory / "bridge.db", timeout=60)) as connection:
        for number, (queue, how) in enumerate(places):
            insert = f'INSERT INTO "{stage.site.namespace}.event" (queue, due, name, head, data)'
            bodies = (Foreign(f"{prefix}b{number}-{at}", body=body) for at, body in enumerate(BODIES))
            for message in (*damaged(f"{prefix}h{number}"), *bodies):
                head = message.headers.get(ENVELOPE, _head(message.key))
                head = json.dumps(head) if isinstance(head, dict | list | None) else head
                row = (queue, message.name or f"judged.{message.key}", head, message.body)
                connection.execute(f"{insert} VALUES (?, 1, {how}, {how}, {how})", row)
                _note_published(stage, message)
        connection.commit()
    stage.hurt("rows that nobody wrote")


async def _publish(stage: Stage, messages: Sequence[Foreign], exchange: str) -> None:
    """Publish messages by their names to an exchange, or, where that is the nameless one, to a queue."""
    queue = Names(stage.site.namespace).queue("default")
    async with await aio_pika.connect(stage.site.broker_url) as connection:
        channel = await connection.channel()
        to = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        for some in range(0, len(messages), IN_FLIGHT):
            await asyncio.gather(
                *(_publish_one(stage, message, to, queue) for message in messages[some : some + IN_FLIGHT])
            )


async def _publish_one(stage: Stage, message: Foreign, exchange: AbstractExchange, queue: str) -> None:
    name = message.name or f"judged.{message.key}"
    if exchange.name:
        await exchange.publish(message.message(), name, timeout=60)
    else:
        await exchange.publish(message.message(name), queue, timeout=60)
    _note_published(stage, message)


def _note_published(stage: Stage, message: Foreign) -> None:
    stage.note("invoke", key=message.key, pid=os.getpid(), delay=None, foreign=True)
    stage.note("ok", key=message.key, pid=os.getpid())


def _octets(prefix: str) -> tuple[str, dict[str, Any], dict[str, Any], bytes, str]:
    """Return a message whose name, headers and properties are no UTF-8."""
    name = f"judged.{prefix}ÿþ"
    headers = {Octets("\xff"): Octets("\xfe\xff"), "a": Octets("\xc0")}
    properties = {"message_id": Octets("\xff1"), "app_id": Octets("\xff"), "content_type": Octets("\xff")}
    return f"{prefix}\\xff\\xfe", headers, properties, b"", Octets(name)


def _grown(body: bytes) -> bytes:
    """Return the JSON with its last text so long that all is of the size of a large message."""
    return body[:-2] + b"x" * (LARGE - len(body)) + body[-2:]


def _most_memory(pid: int) -> int:
    """Return the bytes that a process has ever had resident at a time."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


MESSAGES = (
    Fault("messages that no envelope has", publish_damaged, on=("rabbitmq",)),
    Fault("messages of 16 MiB", publish_large, on=("rabbitmq",)),
    Fault("messages with no properties", publish_bare, on=("rabbitmq",)),
)
ROWS = (Fault("rows that nobody wrote", write_rows, on=("sqlite",)),)
FAULTS = (*MESSAGES, *ROWS)
