"""Decodes a message of the ledger's stream: a letter, a decision, or a message that RabbitMQ dead-lettered. Pure."""

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from bridge.attempt import Error
from bridge.brokers.rabbitmq.consuming.classify import ReceivedMessage, foreign, time_of
from bridge.brokers.rabbitmq.logs.stream import StreamMessage
from bridge.brokers.rabbitmq.topology.delay_ladder import destination
from bridge.brokers.rabbitmq.topology.messages import (
    DECISION,
    DECISION_KEY,
    ENVELOPE,
    LETTER,
    LETTER_KEY,
    SIGNATURE,
    signed_parts,
)
from bridge.envelope import Envelope, decode_head
from bridge.errors import UnreadableEnvelope
from bridge.event import UNKNOWN_TIME
from bridge.ledger import Decision, Entry, Letter, Skipped, summary
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.letter_text import decode_decision, decode_letter
from bridge.settlement import Reason

FIRST_DEATH = "x-first-death-reason"
FIRST_DEATH_QUEUE = "x-first-death-queue"


@dataclass(frozen=True, slots=True)
class LedgerReader:
    """Decodes the messages of one namespace. With `keys`, only signed letters and decisions are believed."""

    namespace: str
    keys: LedgerKeys = NO_KEYS

    def entry(self, message: StreamMessage) -> Entry:
        """Return the message as an entry: `Skipped` for a decision that cannot be read or is not believed."""
        if not is_decision(message):
            return replace(summary(message.number, letter(message)), believed=self._believes(message, LETTER))
        if not self._believes(message, DECISION):
            return Skipped(message.number, "a decision without a valid signature (ledger_key), which is not believed")
        return _decision(message)

    def _believes(self, message: StreamMessage, kind: str) -> bool:
        """Return False if the message claims to be ours, and its signature does not prove it."""
        if kind not in message.headers or _brought(message):
            return True
        key = message.routing_key
        if kind == LETTER and not (key.startswith(LETTER_KEY) and key.count(".") == 1):
            return False  # RabbitMQ may have moved it here, and before 4.0 a forged x-death hides that
        if not self.keys:
            return True
        text = _text(message.headers[kind])
        parts = signed_parts(self.namespace, kind, text, message.body)
        return self.keys.prove(message.headers.get(SIGNATURE), *parts)


def is_decision(message: StreamMessage) -> bool:
    """Return True if the message is a decision about a letter, False if it is a letter. A message that RabbitMQ moved
    to the ledger is no decision, whatever its headers say: its routing key is the name of its queue."""
    return DECISION in message.headers and message.routing_key == DECISION_KEY and not _brought(message)


def letter(message: StreamMessage) -> Letter:
    """Return the message as a dead letter, which every message is that is no decision. A message that RabbitMQ moved to
    the ledger is no letter of a worker, whatever its headers say."""
    text = message.headers.get(LETTER)
    if text is None or _brought(message):
        return _given_up(message)
    try:
        return decode_letter(_text(text), message.body)
    except UnreadableEnvelope as error:
        queue = message.routing_key.removeprefix(LETTER_KEY)
        return _letter(message, queue, "unreadable", str(error), unread=_text(text))


def _brought(message: StreamMessage) -> bool:
    """Return True if RabbitMQ has moved the message to the ledger: expired, rejected, or delivered too often."""
    return FIRST_DEATH in message.headers or "x-death" in message.headers


def _decision(message: StreamMessage) -> Decision | Skipped:
    try:
        return decode_decision(message.number, _text(message.headers[DECISION]))
    except ValueError as error:
        return Skipped(message.number, f"a decision that cannot be read: {error}")


def _given_up(message: StreamMessage) -> Letter:
    """Return the letter for a message that RabbitMQ moved to the ledger, not a worker.

    A stream stores no headers with lists, so of RabbitMQ's notes about dead-lettering only those about the first time
    remain. But only the delay ladder keeps the routing key, and otherwise only the bridge's own queues dead-letter to
    the ledger, each with its own name as the routing key.
    """
    bound_for = destination(message.routing_key)
    if bound_for is not None:
        queue = bound_for[2:] if bound_for.startswith("q.") else ""
        return _letter(message, queue, "unroutable", f"due, and no queue takes {bound_for[2:]!r}")
    death, first_queue = message.headers.get(FIRST_DEATH), str(message.headers.get(FIRST_DEATH_QUEUE))
    if death == "expired" and first_queue.endswith(f".q.{message.routing_key}"):
        return _letter(
            message, message.routing_key, "expired", "not taken within the expiration that its publisher set"
        )
    if death == "rejected":
        return _letter(
            message, message.routing_key, "set aside", "a worker could neither run nor replace it; see the worker's log"
        )
    if death is not None:
        return _letter(message, message.routing_key, "delivery limit", "delivered again and again, and never settled")
    return _letter(message, message.routing_key, "unreadable", "a message that no worker put here, without a letter")


def _letter(message: StreamMessage, queue: str, reason: Reason, text: str, *, unread: str | None = None) -> Letter:
    envelope = _foreign(message)
    head = message.headers.get(ENVELOPE)
    if unread is None and head is not None:
        try:
            envelope = decode_head(_text(head), message.body)
        except UnreadableEnvelope:
            unread = _text(head)
    died = _time(message)
    if died == UNKNOWN_TIME:
        died = max([envelope.event.time, *(attempt.started for attempt in envelope.attempts)])
    return Letter(died, queue, reason, envelope, Error(reason, text), unread=unread)


def _foreign(message: StreamMessage) -> Envelope:
    deaths = _deaths(message)
    keys = deaths[-1].get("routing-keys") if deaths else None
    routing_key = str(keys[0]) if isinstance(keys, list) and keys else message.routing_key
    identity = uuid.uuid5(uuid.NAMESPACE_OID, str(message.number)).bytes  # the same at every reading
    return foreign(
        ReceivedMessage("", routing_key, message.properties, message.body, _time(message), lambda: identity[:10])
    )


def _time(message: StreamMessage) -> datetime:
    deaths = _deaths(message)
    died = deaths[0].get("time") if deaths else None
    if isinstance(died, datetime):
        return died.replace(tzinfo=UTC) if died.tzinfo is None else died.astimezone(UTC)
    return time_of(message.properties, UNKNOWN_TIME)


def _deaths(message: StreamMessage) -> list[dict[str, Any]]:
    """Return RabbitMQ's notes about how the message was dead-lettered, the last time first."""
    deaths = message.headers.get("x-death")
    return [death for death in deaths if isinstance(death, dict)] if isinstance(deaths, list) else []


def _text(value: object) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, bytes | bytearray) else str(value)
