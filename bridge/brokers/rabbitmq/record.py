"""What a message of the ledger's stream says: a letter, a decision, or a message that RabbitMQ itself gave up. Pure."""

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pamqp.commands import Basic

from bridge.attempt import Error
from bridge.brokers.rabbitmq.arrival import Arrived, foreign, time_of
from bridge.brokers.rabbitmq.ladder import destination
from bridge.brokers.rabbitmq.wire import DECISION, ENVELOPE, LETTER, Message
from bridge.envelope import Envelope, decode_head, to_json
from bridge.errors import UnreadableEnvelope
from bridge.event import moment, timestamp
from bridge.ledger import Decision, Discarded, Entry, Letter, Redriven, decode_letter, summary
from bridge.settlement import Reason

FIRST_DEATH = "x-first-death-reason"
FIRST_DEATH_QUEUE = "x-first-death-queue"
LONG_AGO = datetime.fromtimestamp(0, UTC)

_KINDS: dict[str, type[Redriven] | type[Discarded]] = {"redriven": Redriven, "discarded": Discarded}


@dataclass(frozen=True, slots=True)
class Record:
    """A message of the stream, and its offset. Whoever reads it, and whenever, it says the same."""

    number: int
    routing_key: str
    properties: Basic.Properties
    body: bytes

    @property
    def headers(self) -> dict[str, Any]:
        """The message's headers; empty where it has none."""
        return self.properties.headers or {}

    @property
    def is_decision(self) -> bool:
        """Whether it is a decision about a letter, and no letter."""
        return DECISION in self.headers


def entry(record: Record) -> Entry | None:
    """Return the ledger's entry; None for a decision that this program cannot read."""
    if record.is_decision:
        return _decision(record)
    return summary(record.number, letter(record))


def letter(record: Record) -> Letter:
    """Return the dead letter that the record is; any message that is no decision is one."""
    text = record.headers.get(LETTER)
    if text is None:
        return _given_up(record)
    try:
        return decode_letter(_text(text), record.body)
    except UnreadableEnvelope as error:
        return _letter(record, record.routing_key, "unreadable", str(error), unread=_text(text))


def decision_message(decision: Decision) -> Message:
    """Return a decision as a message to the ledger. Its number is its offset there."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(decision, cls))
    fields = {
        "kind": kind,
        "letter": decision.letter,
        "time": timestamp(decision.time),
        "actor": decision.actor,
        "note": decision.note,
    }
    return Message(b"", {DECISION: to_json(fields)})


def _decision(record: Record) -> Decision | None:
    try:
        fields = json.loads(_text(record.headers[DECISION]))
        kind = _KINDS[fields["kind"]]
        number, time = int(fields["letter"]), moment(fields["time"])
        return kind(record.number, number, time, str(fields["actor"]), str(fields["note"]))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None


def _given_up(record: Record) -> Letter:
    """A message that came to the ledger without a worker's doing.

    A stream keeps no lists, so that of RabbitMQ's notes on a message's ways out of queues only the first is left. But
    only the ladder keeps its routing keys, and else only our queues, by their own names, hand on to the ledger.
    """
    bound_for = destination(record.routing_key)
    if bound_for is not None:
        queue = bound_for[2:] if bound_for.startswith("q.") else ""
        return _letter(record, queue, "unroutable", f"due, and no queue takes {bound_for[2:]!r}")
    death, place = record.headers.get(FIRST_DEATH), str(record.headers.get(FIRST_DEATH_QUEUE))
    if death == "expired" and place.endswith(f".q.{record.routing_key}"):
        return _letter(record, record.routing_key, "expired", "not taken within the expiration that its publisher set")
    if death is not None:
        return _letter(record, record.routing_key, "delivery limit", "delivered again and again, and never settled")
    return _letter(record, record.routing_key, "unreadable", "a message that no worker put here, without a letter")


def _letter(record: Record, queue: str, reason: Reason, said: str, *, unread: str | None = None) -> Letter:
    envelope = _foreign(record)
    head = record.headers.get(ENVELOPE)
    if unread is None and head is not None:
        try:
            envelope = decode_head(_text(head), record.body)
        except UnreadableEnvelope:
            unread = _text(head)
    return Letter(_time(record), queue, reason, envelope, Error(reason, said), unread=unread)


def _foreign(record: Record) -> Envelope:
    deaths = _deaths(record)
    keys = deaths[-1].get("routing-keys") if deaths else None
    routing_key = str(keys[0]) if isinstance(keys, list) and keys else record.routing_key
    identity = uuid.uuid5(uuid.NAMESPACE_OID, str(record.number)).bytes  # the same at every reading
    return foreign(Arrived("", routing_key, record.properties, record.body, _time(record), identity[:10]))


def _time(record: Record) -> datetime:
    deaths = _deaths(record)
    died = deaths[0].get("time") if deaths else None
    if isinstance(died, datetime):
        return died.replace(tzinfo=UTC) if died.tzinfo is None else died.astimezone(UTC)
    return time_of(record.properties, LONG_AGO)


def _deaths(record: Record) -> list[dict[str, Any]]:
    """What RabbitMQ noted of a message's ways out of queues, the last one first."""
    deaths = record.headers.get("x-death")
    return [death for death in deaths if isinstance(death, dict)] if isinstance(deaths, list) else []


def _text(value: object) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, bytes | bytearray) else str(value)
