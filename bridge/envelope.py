"""The envelope: an event, what was tried with it, and the listeners that have finished, as it travels.

On the wire it is a *head* (JSON text, versioned) beside the event's data, which stays byte for byte what was deferred.
This file alone knows the form of the head.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from bridge.attempt import Attempt, Error, encodable
from bridge.errors import UnreadableEnvelope
from bridge.event import Event, moment, timestamp

VERSION = 1
FIRST_ATTEMPTS_KEPT = 10
LAST_ATTEMPTS_KEPT = 20
BRIEFLY_KEPT = 6
MAX_HEAD = 48 * 1024
"""Bytes. RabbitMQ closes a connection whose headers pass 128 KiB, and a dead letter's has more than this in it."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event with its history.

    A *round* is the attempts since the event was first due or was last redriven: policies count `spent` and
    `waited` (seconds of waits asked for) within it, `attempts` keeps all rounds. A long history loses its middle, and
    `omitted` says how many. `deferred_again` counts waits that spent no attempt, so that every copy differs.
    """

    event: Event
    round_began: datetime
    round: int = 1
    spent: int = 0
    waited: float = 0.0
    overloaded_since: datetime | None = None
    deferred_again: int = 0
    finished: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    omitted: int = 0
    first_error: Error | None = None

    @property
    def attempt_number(self) -> int:
        """The number that the next replay has in this round, from 1."""
        return self.spent + 1

    def remember(self, attempt: Attempt) -> "Envelope":
        """Return the envelope with one more attempt in its history."""
        summary = replace(attempt, error=attempt.error and attempt.error.bounded().without_traceback())
        attempts = (*self.attempts, summary)
        surplus = max(len(attempts) - FIRST_ATTEMPTS_KEPT - LAST_ATTEMPTS_KEPT, 0)
        return replace(
            self,
            attempts=attempts[:FIRST_ATTEMPTS_KEPT] + attempts[FIRST_ATTEMPTS_KEPT + surplus :],
            omitted=self.omitted + surplus,
            first_error=self.first_error or (attempt.error and attempt.error.bounded()),
        )

    def in_brief(self) -> "Envelope":
        """Return the envelope with few of its attempts, and what they say cut short."""
        kept = self.attempts
        if len(kept) > BRIEFLY_KEPT:
            kept = (*kept[:1], *kept[1 - BRIEFLY_KEPT :])
        return replace(
            self,
            attempts=tuple(replace(attempt, error=attempt.error and attempt.error.in_brief()) for attempt in kept),
            omitted=self.omitted + len(self.attempts) - len(kept),
            first_error=self.first_error and self.first_error.in_brief(),
        )

    def next_round(self, now: datetime) -> "Envelope":
        """Return the envelope as a redrive puts it back: a new round, the same event, the history kept."""
        return replace(
            self, round=self.round + 1, round_began=now, spent=0, waited=0.0, overloaded_since=None, deferred_again=0
        )


def encode_head(envelope: Envelope) -> str:
    """Return all of the envelope but the event's data, as one line of JSON. A history that weighs more than `MAX_HEAD`
    is written in brief."""
    head = to_json(_to_fields(envelope))
    if len(head) > MAX_HEAD // 4 and len(head.encode()) > MAX_HEAD:
        return to_json(_to_fields(envelope.in_brief()))
    return head


def to_json(fields: Mapping[str, Any]) -> str:
    """Return the fields as one line of JSON that can be encoded, whatever text is in them."""
    line = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return encodable(line, backslash=r"\\")


def _to_fields(envelope: Envelope) -> dict[str, Any]:
    event = envelope.event
    head: dict[str, Any] = {
        "v": VERSION,
        "id": event.id,
        "type": event.name,
        "source": event.source,
        "time": timestamp(event.time),
        "datacontenttype": event.content_type,
        "began": timestamp(envelope.round_began),
    }
    optional = {
        "traceparent": event.traceparent,
        "round": envelope.round if envelope.round > 1 else None,
        "spent": envelope.spent,
        "waited": envelope.waited,
        "overloaded_since": envelope.overloaded_since and timestamp(envelope.overloaded_since),
        "deferred_again": envelope.deferred_again,
        "finished": envelope.finished,
        "attempts": [_attempt_to_json(attempt) for attempt in envelope.attempts],
        "omitted": envelope.omitted,
        "first_error": envelope.first_error and error_to_json(envelope.first_error),
    }
    head.update((key, value) for key, value in optional.items() if value)
    return head


def decode_head(head: str | bytes, data: bytes) -> Envelope:
    """Return the envelope that was encoded. Raise `UnreadableEnvelope` for any other text, saying what is wrong."""
    try:
        fields = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise UnreadableEnvelope(f"the envelope's head is not JSON: {error}") from error
    version = fields.get("v") if isinstance(fields, dict) else None
    if version != VERSION:
        raise UnreadableEnvelope(f"the envelope is of version {version!r}, this program knows version {VERSION}")
    try:
        return _from_fields(fields, data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableEnvelope(f"the envelope's head is damaged: {type(error).__name__}: {error}") from error


def _from_fields(fields: dict[str, Any], data: bytes) -> Envelope:
    event = Event(
        id=_text(fields["id"]),
        name=_text(fields["type"]),
        source=_text(fields["source"]),
        time=moment(fields["time"]),
        content_type=_text(fields["datacontenttype"]),
        data=data,
        traceparent=fields.get("traceparent"),
    )
    if len(fields) == 7:  # a first attempt: nothing has happened to it yet
        return Envelope(event, round_began=moment(fields["began"]))
    overloaded_since = fields.get("overloaded_since")
    first_error = fields.get("first_error")
    return Envelope(
        event=event,
        round_began=moment(fields["began"]),
        round=int(fields.get("round", 1)),
        spent=int(fields.get("spent", 0)),
        waited=float(fields.get("waited", 0.0)),
        overloaded_since=overloaded_since and moment(overloaded_since),
        deferred_again=int(fields.get("deferred_again", 0)),
        finished=tuple(_text(name) for name in fields.get("finished", ())),
        attempts=tuple(_attempt_from_json(attempt) for attempt in fields.get("attempts", ())),
        omitted=int(fields.get("omitted", 0)),
        first_error=first_error and error_from_json(first_error),
    )


def _attempt_to_json(attempt: Attempt) -> dict[str, Any]:
    fields = {
        "round": attempt.round,
        "number": attempt.number,
        "started": timestamp(attempt.started),
        "seconds": round(attempt.seconds, 6),
        "outcome": attempt.outcome,
        "release": attempt.release,
        "error": attempt.error and error_to_json(attempt.error),
    }
    return {key: value for key, value in fields.items() if value is not None}


def _attempt_from_json(fields: dict[str, Any]) -> Attempt:
    error = fields.get("error")
    return Attempt(
        round=int(fields["round"]),
        number=int(fields["number"]),
        started=moment(fields["started"]),
        seconds=float(fields["seconds"]),
        outcome=_text(fields["outcome"]),
        release=fields.get("release"),
        error=error and error_from_json(error),
    )


def error_to_json(error: Error) -> dict[str, Any]:
    """Return the error as JSON has it, what is absent left out."""
    return {key: value for key, value in asdict(error).items() if value is not None}


def error_from_json(fields: dict[str, Any]) -> Error:
    """Return the error that was written; raise `KeyError` or `TypeError` where it is damaged."""
    return Error(_text(fields["type"]), _text(fields["message"]), fields.get("traceback"))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r:.80}")
    return value
