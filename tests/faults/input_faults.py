"""Faults of the input: messages and rows that none of our programs writes, among those that they write."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractExchange

from bridge.brokers.rabbitmq.topology.messages import ENVELOPE
from bridge.brokers.rabbitmq.topology.names import Names
from tests.faults.foreign import BODIES, Foreign, damaged, head, octets, strange
from tests.faults.ordeal import Fault
from tests.faults.stage import Stage

MEGABYTE = 1024 * 1024
LARGE = 16 * MEGABYTE
LARGE_AT_ONCE = 6
MEMORY = 640 * MEGABYTE
"""The most resident memory in bytes of a worker that has large messages in flight."""

FOREIGN_A_SECOND = 500
IN_FLIGHT = 100


async def publish_damaged(stage: Stage) -> None:
    """Publish messages with invalid envelopes to the exchange of events, and directly to a queue."""
    prefix = f"i{stage.count('hurt')}"
    messages = [*damaged(f"{prefix}e"), *strange(f"{prefix}s"), octets(f"{prefix}o")]
    await _publish(stage, messages, Names(stage.site.namespace).events)
    await _publish(stage, list(damaged(f"{prefix}q")), "")
    stage.hurt("messages with invalid envelopes")


async def publish_large(stage: Stage) -> None:
    """Publish messages of 16 MiB, with and without an envelope; the app rejects some of them."""
    prefix = f"l{stage.count('hurt')}"
    body = json.dumps({"do": ["ok"], "more": ""}).encode()
    rejected = json.dumps({"do": ["reject"], "more": ""}).encode()
    messages = [Foreign(f"{prefix}-{number}", body=b"\0" * LARGE) for number in range(LARGE_AT_ONCE // 3)]
    for number in range(LARGE_AT_ONCE // 3):
        headers = {ENVELOPE: head(f"{prefix}-e{number}")}
        messages.append(Foreign(f"{prefix}-e{number}", headers, {"message_id": f"{prefix}{number}"}, _grown(body)))
        messages.append(Foreign(f"{prefix}-r{number}", {}, {"content_type": "application/json"}, _grown(rejected)))
    await _publish(stage, messages, Names(stage.site.namespace).events)
    await stage.reaches("effect", 20)
    stage.hurt("messages of 16 MiB")
    for worker in stage.workers:
        most = _most_memory(worker.process.pid)
        assert most < MEMORY, f"a worker had {most // MEGABYTE} MiB resident"


async def publish_bare(stage: Stage) -> None:
    """Publish thousands of messages without properties."""
    prefix = f"b{stage.count('hurt')}"
    messages = [Foreign(f"{prefix}-{number}", body=b"") for number in range(int(FOREIGN_A_SECOND * stage.hold))]
    await _publish(stage, messages, Names(stage.site.namespace).events)
    stage.hurt("messages with no properties")


async def write_rows(stage: Stage) -> None:
    """Insert rows that a newer or a broken version might have written: unreadable heads, text that is not UTF-8."""
    prefix = f"r{stage.count('hurt')}"
    places = [(queue, how) for queue in ("default", None) for how in ("?", "CAST(? AS TEXT)", "CAST(? AS BLOB)")]
    with closing(sqlite3.connect(stage.site.directory / "bridge.db", timeout=60)) as connection:
        for number, (queue, how) in enumerate(places):
            insert = f'INSERT INTO "{stage.site.namespace}.event" (queue, due, name, head, data)'
            bodies = (Foreign(f"{prefix}b{number}-{at}", body=body) for at, body in enumerate(BODIES))
            for message in (*damaged(f"{prefix}h{number}"), *bodies):
                written = message.headers.get(ENVELOPE, head(message.key))
                written = json.dumps(written) if isinstance(written, dict | list | None) else written
                row = (queue, message.name or f"judged.{message.key}", written, message.body)
                connection.execute(f"{insert} VALUES (?, 1, {how}, {how}, {how})", row)
                _note_published(stage, message)
        connection.commit()
    stage.hurt("rows with invalid contents")


async def _publish(stage: Stage, messages: Sequence[Foreign], exchange: str) -> None:
    """Publish messages by their names to an exchange, or directly to the queue if `exchange` is empty."""
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


def _grown(body: bytes) -> bytes:
    """Return the JSON with its last text made so long that the whole has `LARGE` bytes."""
    return body[:-2] + b"x" * (LARGE - len(body)) + body[-2:]


def _most_memory(pid: int) -> int:
    """Return the peak resident memory of a process in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


MESSAGES = (
    Fault("messages with invalid envelopes", publish_damaged, on=("rabbitmq",)),
    Fault("messages of 16 MiB", publish_large, on=("rabbitmq",)),
    Fault("messages with no properties", publish_bare, on=("rabbitmq",)),
)
ROWS = (Fault("rows with invalid contents", write_rows, on=("sqlite",)),)
FAULTS = (*MESSAGES, *ROWS)
SHORT = (MESSAGES, ROWS)
