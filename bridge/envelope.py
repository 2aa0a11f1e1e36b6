"""The envelope: an event with the history of its attempts and the listeners that have finished, as brokers carry it.

On the wire an envelope is a *head* (versioned JSON text) next to the event's data, which stays byte for byte as it was
deferred. Only this file knows the form of the head.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from json.encoder import encode_basestring as _quoted
from typing import Any, NamedTuple, TypeVar

from bridge.attempt import Attempt, Error, encodable
from bridge.attempt_text import (
    MAX_SECONDS,
    attempt_from_json,
    attempt_to_json,
    error_from_json,
    error_to_json,
    read_count,
)
from bridge.errors import TooLarge, UnreadableEnvelope
from bridge.event import Event, format_time, parse_time, plain_id
from bridge.handling import PLAIN
from bridge.handling_text import handling_from_json, handling_to_json
from bridge.json_fields import (
    any_text,
    exact_text,
    items,
    json_object,
    optional,
    seconds,
    time,
)
from bridge.reply import fitting_names

T = TypeVar("T")

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

VERSION = 1
FIRST_ATTEMPTS_KEPT = 10
LAST_ATTEMPTS_KEPT = 20
BRIEFLY_KEPT = 6
MAX_HEAD = 48 * 1024
"""Bytes. RabbitMQ closes the connection if the headers of a message exceed 128 KiB, and the headers of a dead letter
hold more than this head."""
MAX_TEXT = 1000
"""The longest name or attribute in characters, because each becomes a parameter of a request. Those that `defer()`
writes have at most 200."""


class Envelope(NamedTuple):
    """An event with its history.

    A *round* is the attempts since the event was first due or was last redriven. Retry policies use `spent` (attempts)
    and `waited` (the sum of the waits in seconds) of the present round; `attempts` keeps all rounds. The middle of a
    long history is dropped, and `omitted` counts the dropped attempts. `deferred_again` counts the waits that spent no
    attempt, so that the envelope differs after each of them.
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
        """The number of the next replay in this round, from 1."""
        return self.spent + 1

    @property
    def is_new(self) -> bool:
        """True if there is no history yet, as in every event that an app publishes."""
        return self.round == 1 and not (
            self.attempts
            or self.spent
            or self.waited
            or self.overloaded_since
            or self.deferred_again
            or self.finished
            or self.omitted
            or self.first_error
        )

    def remember(self, attempt: Attempt) -> "Envelope":
        """Return the envelope with one more attempt in its history."""
        attempts, surplus = _without_middle((*self.attempts, attempt.bounded()))
        return self._replace(
            attempts=attempts,
            omitted=self.omitted + surplus,
            first_error=self.first_error or (attempt.error and attempt.error.bounded()),
        )

    def in_brief(self) -> "Envelope":
        """Return the envelope with fewer attempts and shorter error texts."""
        attempts = self.attempts
        if len(attempts) > BRIEFLY_KEPT:
            attempts = (*attempts[:1], *attempts[1 - BRIEFLY_KEPT :])
        return self._replace(
            attempts=tuple(replace(attempt, error=attempt.error and attempt.error.in_brief()) for attempt in attempts),
            omitted=self.omitted + len(self.attempts) - len(attempts),
            first_error=self.first_error and self.first_error.in_brief(),
        )

    def without_history(self) -> "Envelope":
        """Return the envelope without attempts, which are counted as omitted, and without the first traceback."""
        error = self.first_error and self.first_error.in_brief().without_traceback()
        return self._replace(attempts=(), omitted=self.omitted + len(self.attempts), first_error=error)

    def ever_smaller(self) -> Iterator["Envelope"]:
        """Yield this envelope, then envelopes with less and less history. The last one has none, nor the names of the
        finished listeners, which then run again."""
        yield self
        yield self.in_brief()
        bare = self.without_history()
        yield bare
        yield bare._replace(first_error=None, finished=())

    def next_round(self, now: datetime) -> "Envelope":
        """Return the envelope that a redrive publishes: a new round with the same event and the whole history."""
        return self._replace(
            round=self.round + 1, round_began=now, spent=0, waited=0.0, overloaded_since=None, deferred_again=0
        )


def encode_head(envelope: Envelope, most: int = MAX_HEAD) -> str:
    """Return the envelope without the event's data as one line of JSON, of at most `most` bytes and `MAX_HEAD`. If the
    envelope is too large, it is written with less history. Raise `TooLarge` if even the event's attributes are."""
    head = _line(envelope)
    most = min(most, MAX_HEAD)
    if len(head) <= most // 4:  # a character takes at most four bytes
        return head
    for smaller in envelope.ever_smaller():
        head = _line(smaller)
        if len(head.encode()) <= most:
            return head
    raise TooLarge(f"the attributes of event {envelope.event.id} take more than {most} bytes")


def to_json(fields: Mapping[str, Any]) -> str:
    """Return the fields as one line of JSON that UTF-8 can encode, even if they contain lone surrogates."""
    line = _JSON.encode(fields)
    return encodable(line, backslash=r"\\")


def _line(envelope: Envelope) -> str:
    is_usual = envelope.is_new and envelope.event.handling is PLAIN
    return encodable(_usual_line(envelope), backslash=r"\\") if is_usual else to_json(_to_fields(envelope))


def _usual_line(envelope: Envelope) -> str:
    """Return what JSON's encoder makes of the fields of a head without history and handling. The encoder takes three
    times as long."""
    event, began = envelope.event, envelope.round_began
    deferred = format_time(event.time)
    trace = f',"traceparent":{_quoted(event.traceparent)}' if event.traceparent else ""
    return (
        f'{{"v":{VERSION},"id":{_quoted(event.id)},"type":{_quoted(event.name)},"source":{_quoted(event.source)},'
        f'"time":"{deferred}","datacontenttype":{_quoted(event.content_type)},'
        f'"began":"{deferred if began == event.time else format_time(began)}"{trace}}}'
    )


def _to_fields(envelope: Envelope) -> dict[str, Any]:
    event, began = envelope.event, envelope.round_began
    deferred = format_time(event.time)
    head: dict[str, Any] = {
        "v": VERSION,
        "id": event.id,
        "type": event.name,
        "source": event.source,
        "time": deferred,
        "datacontenttype": event.content_type,
        "began": deferred if began == event.time else format_time(began),
    }
    if event.traceparent:
        head["traceparent"] = event.traceparent
    if event.handling is not PLAIN and (handling := handling_to_json(event.handling)):
        head["handling"] = handling
    if envelope.is_new:
        return head
    optional = {
        "round": envelope.round if envelope.round > 1 else None,
        "spent": envelope.spent,
        "waited": envelope.waited,
        "overloaded_since": envelope.overloaded_since and format_time(envelope.overloaded_since),
        "deferred_again": envelope.deferred_again,
        "finished": envelope.finished,
        "attempts": [attempt_to_json(attempt) for attempt in envelope.attempts],
        "omitted": envelope.omitted,
        "first_error": envelope.first_error and error_to_json(envelope.first_error),
    }
    head.update((key, value) for key, value in optional.items() if value)
    return head


_TEXT = rf'"([ !#-\[\]-~]{{0,{MAX_TEXT}}})"'
_USUAL = re.compile(
    r'\{"v":1,"id":"([A-Za-z0-9._:-]{1,255})",'
    rf'"type":{_TEXT},"source":{_TEXT},"time":{_TEXT},"datacontenttype":{_TEXT},"began":{_TEXT}'
    rf'(?:,"traceparent":{_TEXT})?'
    r"\}"
)
"""The usual head: one without history and handling, as `encode_head` writes it, with a plain id and texts that no
reader refuses or changes. It is read in a third of the time that JSON takes, with the same result."""


def decode_head(head: str | bytes, data: bytes) -> Envelope:
    """Return the envelope of a head and the event's data. Raise `UnreadableEnvelope`, which says what is wrong, for a
    head that is damaged or of another version."""
    usual = _USUAL.fullmatch(head) if isinstance(head, str) else None
    try:
        return _from_json(head, data) if usual is None else _from_usual(usual, data)
    except (KeyError, ValueError) as error:
        raise UnreadableEnvelope(f"the envelope's head is damaged: {type(error).__name__}: {error}") from error


def _from_usual(head: re.Match[str], data: bytes) -> Envelope:
    identity, name, source, deferred, content_type, began, traceparent = head.groups()
    moment = parse_time(deferred)
    event = Event(identity, name, source, moment, content_type, data, traceparent or None)
    return Envelope(event, moment if began == deferred else parse_time(began))


def _from_json(head: str | bytes, data: bytes) -> Envelope:
    try:
        fields = json_object(head)
    except ValueError as error:
        raise UnreadableEnvelope(f"the envelope's head is not JSON: {error}") from error
    version = fields.get("v")
    if isinstance(version, bool) or version != VERSION:
        raise UnreadableEnvelope(f"the envelope is of version {version!r:.80}, this program knows version {VERSION}")
    return _from_fields(fields, data)


def id_in(head: str) -> str | None:
    """Return the event's id from a head of another version; None if it cannot be found."""
    try:
        return _id(json_object(head)["id"])
    except (KeyError, ValueError):
        return None


_FRESH = frozenset(("v", "id", "type", "source", "time", "datacontenttype", "began", "traceparent", "handling"))
"""The fields of a head without history."""


def _from_fields(fields: Mapping[str, Any], data: bytes) -> Envelope:
    event = Event(
        id=_id(fields["id"]),
        name=exact_text(fields["type"], MAX_TEXT),
        source=exact_text(fields["source"], MAX_TEXT),
        time=time(fields["time"]),
        content_type=_header(fields["datacontenttype"]),
        data=data,
        traceparent=optional(_header, fields.get("traceparent")) or None,
        handling=optional(handling_from_json, fields.get("handling")) or PLAIN,
    )
    began = event.time if fields["began"] == fields["time"] else time(fields["began"])
    if _FRESH.issuperset(fields):  # the event has not been replayed yet
        return Envelope(event, began)
    attempts, surplus = _without_middle(items(fields.get("attempts", [])))
    return Envelope(
        event=event,
        round_began=began,
        round=read_count(fields.get("round", 1)),
        spent=read_count(fields.get("spent", 0)),
        waited=seconds(fields.get("waited", 0.0), MAX_SECONDS),
        overloaded_since=optional(time, fields.get("overloaded_since")),
        deferred_again=read_count(fields.get("deferred_again", 0)),
        finished=fitting_names(any_text(name) for name in items(fields.get("finished", []))),
        attempts=tuple(map(attempt_from_json, attempts)),
        omitted=read_count(read_count(fields.get("omitted", 0)) + surplus),
        first_error=optional(error_from_json, fields.get("first_error")),
    )


def _without_middle(attempts: Sequence[T]) -> tuple[tuple[T, ...], int]:
    """Return the first and the last attempts, and how many are omitted between them."""
    surplus = max(len(attempts) - FIRST_ATTEMPTS_KEPT - LAST_ATTEMPTS_KEPT, 0)
    return (*attempts[:FIRST_ATTEMPTS_KEPT], *attempts[FIRST_ATTEMPTS_KEPT + surplus :]), surplus


def _id(value: object) -> str:
    text = exact_text(value, MAX_TEXT)
    if not text:
        raise ValueError("expected an id, got an empty text")
    return plain_id(text)


def _header(value: object) -> str:
    """Return a text that a request can carry as it is. Raise `ValueError` for any other."""
    text = exact_text(value, MAX_TEXT)
    if not text.isprintable():
        raise ValueError(f"expected printable text, got {text!r:.80}")
    return text
