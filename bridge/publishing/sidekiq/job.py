"""A job as Sidekiq writes it, and the event that it becomes.

The event's data is the job's JSON, byte for byte. Its id is made from the job's `jid`, so that the same job always
becomes the same event.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.envelope import Envelope, encode_head
from bridge.errors import shown
from bridge.event import UNKNOWN_TIME, Event, plain_id
from bridge.json_fields import exact_text, json_object
from bridge.publishing.stores import StoredEvent
from bridge.strict_json import refuse_constant

_JSON = "application/json"
_MILLISECONDS = 1e11
"""Sidekiq 8 writes times in milliseconds, those before in seconds. A larger number is of milliseconds."""
_TIMES = ("created_at", "enqueued_at", "failed_at", "retried_at")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The jobs that a store takes: those of one queue and of one of these classes. `classes` has the name of the events
    for each. A job has at most `most` bytes."""

    queue: str
    classes: Mapping[str, str]
    most: int


@dataclass(frozen=True, slots=True)
class Staying:
    """A job that stays where it is. `what` says in words what jobs these are, such as `jobs of class 'HardWorker'`, and
    `why` what was expected. `since` is when the job got there, if it says so."""

    what: str
    why: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job that becomes an event of this name. `since` is when the job got to its place, None if it does not say."""

    name: str
    jid: str
    queue: str
    created: datetime
    since: datetime | None
    text: bytes

    def stored(self, number: int, score: float | None) -> StoredEvent:
        """Return the event, with its number in the store. `score` is the Unix time at which a scheduled job, or the
        next attempt of a failed one, is due; None for at once."""
        source = f"sidekiq:{self.queue}"
        event = Event(plain_id(self.jid), self.name, source, self.created, _JSON, self.text)
        due = None if score is None else moment(score)
        return StoredEvent(number, encode_head(Envelope(event, round_began=due or event.time)), self.text)


def read_job(text: bytes, wanted: Wanted, *, in_set: bool) -> Job | Staying | None:
    """Read a job from the queue, or from the sets that all queues share; None for a job in a set that is of another
    queue."""
    if len(text) > wanted.most:
        return Staying("jobs that are too large", f"expected at most {wanted.most} bytes (max_body)")
    try:
        fields = _fields(text)
    except ValueError as error:
        return Staying("jobs that are not JSON", f"expected a JSON object: {error}")
    if in_set and fields.get("queue") != wanted.queue:
        return None
    since = max(filter(None, (moment(fields.get(key)) for key in _TIMES)), default=None)
    kind = _class_of(fields, wanted.classes)
    if kind is None:
        return Staying("jobs without a class", "expected the text 'class'", since)
    if kind not in wanted.classes:
        return Staying(f"jobs of class {shown(kind, 80)}", "expected the class in `classes`", since)
    try:
        jid = exact_text(fields.get("jid"), 255)
    except ValueError:
        jid = ""
    if not jid or not isinstance(fields.get("args"), list):
        return Staying("jobs without jid or args", "expected the text 'jid' and the list 'args'", since)
    created = moment(fields.get("created_at")) or moment(fields.get("enqueued_at")) or UNKNOWN_TIME
    return Job(wanted.classes[kind], jid, wanted.queue, created, since, text)


def moment(value: object) -> datetime | None:
    """Return the time of a Unix time in seconds or milliseconds; None if it is no time."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        return None
    try:
        return datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _fields(text: bytes) -> dict[str, Any]:
    fields = json_object(text.decode())
    if b"NaN" in text or b"Infinity" in text:  # Python reads them, and JSON has none
        json.loads(text, parse_constant=refuse_constant)
    return fields


def _class_of(fields: Mapping[str, Any], classes: Mapping[str, str]) -> str | None:
    """Return the job's class. For a job of Active Job, that is the class that it wraps, unless only the wrapper is
    mapped."""
    named = [each for each in (fields.get("wrapped"), fields.get("class")) if isinstance(each, str) and each]
    return next((each for each in named if each in classes), named[0] if named else None)
