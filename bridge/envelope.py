"""The envelope: an event, what was tried with it, and the listeners that have finished, as it travels.

On the wire it is a *head* (JSON text, versioned) beside the event's data, which stays byte for byte what was deferred.
This file alone knows the form of the head.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from bridge.attempt import Attempt, Error, encodable
from bridge.errors import UnreadableEnvelope
from bridge.event import Event, moment, timestamp

T = TypeVar("T")

VERSION = 1
FIRST_ATTEMPTS_KEPT = 10
LAST_ATTEMPTS_KEPT = 20
BRIEFLY_KEPT = 6
MAX_HEAD = 48 * 1024
"""Bytes. RabbitMQ closes a connection whose headers pass 128 KiB, and a dead letter's has more than this in it."""
MAX_TEXT = 4096
"""Characters of a name or attribute, far more than any of ours has: each is a parameter of a request."""
MAX_COUNT = 2**31


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
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UnreadableEnvelope(f"the envelope's head is damaged: {type(error).__name__}: {error}") from error


def _from_fields(fields: dict[str, Any], data: bytes) -> Envelope:
    event = Event(
        id=_attribute(fields["id"]),
        name=_attribute(fields["type"]),
        source=_attribute(fields["source"]),
        time=moment(fields["time"]),
        content_type=_header(fields["datacontenttype"]),
        data=data,
        traceparent=_optional(_header, fields.get("traceparent")),
    )
    if len(fields) == 7:  # a first attempt: nothing has happened to it yet
        return Envelope(event, round_began=moment(fields["began"]))
    return Envelope(
        event=event,
        round_began=moment(fields["began"]),
        round=_count(fields.get("round", 1)),
        spent=_count(fields.get("spent", 0)),
        waited=_seconds(fields.get("waited", 0.0)),
        overloaded_since=_optional(moment, fields.get("overloaded_since")),
        deferred_again=_count(fields.get("deferred_again", 0)),
        finished=tuple(_text(name) for name in _list(fields.get("finished", []))),
        attempts=tuple(_attempt_from_json(attempt) for attempt in _list(fields.get("attempts", []))),
        omitted=_count(fields.get("omitted", 0)),
        first_error=_optional(error_from_json, fields.get("first_error")),
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
    return Attempt(
        round=_count(fields["round"]),
        number=_count(fields["number"]),
        started=moment(fields["started"]),
        seconds=float(fields["seconds"]),
        outcome=_text(fields["outcome"]),
        release=_optional(_text, fields.get("release")),
        error=_optional(error_from_json, fields.get("error")),
    )


def error_to_json(error: Error) -> dict[str, Any]:
    """Return the error as JSON has it, what is absent left out."""
    return {key: value for key, value in asdict(error).items() if value is not None}


def error_from_json(fields: dict[str, Any]) -> Error:
    """Return the error that was written; raise `KeyError` or `TypeError` where it is damaged."""
    return Error(_text(fields["type"]), _text(fields["message"]), _optional(_text, fields.get("traceback")))


def _optional(read: Callable[[Any], T], value: object) -> T | None:
    return None if value is None else read(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r:.80}")
    return value


def _attribute(value: object) -> str:
    """A text that can be sent in a request."""
    text = _text(value)
    if len(text) > MAX_TEXT or encodable(text) is not text:
        raise ValueError(f"expected a text of at most {MAX_TEXT} characters, got {text!r:.80}")
    return text


def _header(value: object) -> str:
    """A text that goes into a request as it is."""
    text = _attribute(value)
    if not text.isprintable():
        raise ValueError(f"expected printable text, got {text!r:.80}")
    return text


def _count(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise ValueError(f"expected a count, got {value!r:.80}")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"expected seconds, got {value!r:.80}")
    return float(value)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {value!r:.80}")
    return value
