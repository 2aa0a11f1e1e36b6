"""The ledger of dead letters: append-only entries, the fold into open letters, and the filters that choose some.

Pure: where the entries are kept is a broker's matter. `Letter` is a dead letter whole, as it is written and shown;
`Dead`, with the decisions `Redriven` and `Discarded`, is what a reader of the whole ledger needs of each entry.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, get_args

from bridge.attempt import Error, cut_in_the_middle
from bridge.envelope import Envelope, decode_head, encode_head, error_from_json, error_to_json, to_json
from bridge.errors import UnreadableEnvelope
from bridge.event import moment, timestamp
from bridge.settlement import Reason
from bridge.topics import matches

MAX_LETTER_HEAD = 64 * 1024
"""Bytes that a letter may weigh beyond the event's data. RabbitMQ closes a connection whose headers pass 128 KiB."""

TRANSCRIPT_AT_LEAST = 4 * 1024

MAX_UNREAD = 48 * 1024
"""Bytes of a head that could not be read which a letter keeps. What is longer is cut, and cannot be read ever."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The last attempt, word for word, as far as it fits."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    error_output: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, whole. `queue` is empty where no queue took the event (`unroutable`): a redrive then routes it by
    its name again. `error` is the last one, with its traceback; the first is in the envelope. `unread` is the
    envelope's head as it came where this program could not read it: a later version may, but for one so long that it
    lacks its last `unread_cut` characters."""

    time: datetime
    queue: str
    reason: Reason
    envelope: Envelope
    error: Error
    transcript: Transcript | None = None
    unread: str | None = None
    unread_cut: int = 0

    def revived(self, now: datetime) -> Envelope:
        """Return the envelope that a redrive puts back. Raise `UnreadableEnvelope` where it still cannot be read."""
        if self.unread_cut:
            raise UnreadableEnvelope(
                f"the envelope's head was too long to be kept: {self.unread_cut} characters are cut"
            )
        envelope = self.envelope if self.unread is None else decode_head(self.unread, self.envelope.event.data)
        return envelope.next_round(now)


@dataclass(frozen=True, slots=True)
class Dead:
    """The entry of a letter's death: what lists, filters and counts need."""

    number: int
    time: datetime
    queue: str
    reason: str
    event_id: str
    event_name: str
    error_type: str
    error_message: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Redriven:
    """The entry of a letter's return to its queue. `number` is the entry's own, `letter` the dead letter's."""

    number: int
    letter: int
    time: datetime
    actor: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Discarded:
    """The entry of a decision to let a letter go."""

    number: int
    letter: int
    time: datetime
    actor: str
    note: str = ""


Decision = Redriven | Discarded
Entry = Dead | Decision


def open_letters(entries: Iterable[Entry]) -> dict[int, Dead]:
    """Return the letters that nobody has decided about, by number, oldest first. A decision about a letter that the
    ledger no longer holds (an operator's retention may have taken it) changes nothing."""
    result: dict[int, Dead] = {}
    for entry in entries:
        if isinstance(entry, Dead):
            result[entry.number] = entry
        else:
            result.pop(entry.letter, None)
    return result


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant. All that is given must hold; nothing given means every letter.

    `event` is a pattern as queues have them, `error` a part of the last error's type or message (case does not
    matter), `older` and `newer` are ages.
    """

    event: str | None = None
    queue: str | None = None
    error: str | None = None
    older: timedelta | None = None
    newer: timedelta | None = None

    def takes(self, letter: Dead, now: datetime) -> bool:
        """Tell whether the letter is meant."""
        age = now - letter.time
        said = f"{letter.error_type}: {letter.error_message}".lower()
        return (
            (self.event is None or matches(self.event, letter.event_name))
            and (self.queue is None or self.queue == letter.queue)
            and (self.error is None or self.error.lower() in said)
            and (self.older is None or age >= self.older)
            and (self.newer is None or age <= self.newer)
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Letters of one event name, queue and error, counted."""

    event_name: str
    queue: str
    error_type: str
    count: int
    oldest: datetime
    newest: datetime


def grouped(letters: Iterable[Dead]) -> list[Group]:
    """Return the letters by event name, queue and error type, the largest group first."""
    groups: dict[tuple[str, str, str], Group] = {}
    for letter in letters:
        key = (letter.event_name, letter.queue, letter.error_type)
        known = groups.get(key) or Group(*key, 0, letter.time, letter.time)
        groups[key] = replace(
            known,
            count=known.count + 1,
            oldest=min(known.oldest, letter.time),
            newest=max(known.newest, letter.time),
        )
    return sorted(groups.values(), key=lambda group: (-group.count, group.event_name, group.queue))


def encode_letter(letter: Letter) -> str:
    """Return all of the letter but the event's data, as JSON of at most `MAX_LETTER_HEAD` bytes. What does not fit is
    cut out of the transcript; errors are always kept, and a head that could not be read as far as `MAX_UNREAD`, which
    may take twice as much as JSON."""
    fields: dict[str, Any] = {
        "letter": 1,
        "time": timestamp(letter.time),
        "queue": letter.queue,
        "reason": letter.reason,
        "envelope": encode_head(letter.envelope),
        "error": error_to_json(letter.error.bounded()),
    }
    if letter.unread is not None:
        fields["unread"] = _cut_to(letter.unread, MAX_UNREAD)
        fields["unread_cut"] = letter.unread_cut + len(letter.unread) - len(fields["unread"])
    if letter.transcript is not None:
        room = MAX_LETTER_HEAD - len(to_json(fields).encode()) - 200
        fields["transcript"] = _fitted(letter.transcript, max(room, TRANSCRIPT_AT_LEAST))
    return to_json(fields)


def decode_letter(head: str | bytes, data: bytes) -> Letter:
    """Return the letter that was encoded. Raise `UnreadableEnvelope` for any other text."""
    try:
        fields = json.loads(head)
        if fields["letter"] != 1 or fields["reason"] not in get_args(Reason):
            raise UnreadableEnvelope(f"letter {fields['letter']!r}, reason {fields['reason']!r}: not known here")
        transcript = fields.get("transcript")
        return Letter(
            time=moment(fields["time"]),
            queue=str(fields["queue"]),
            reason=fields["reason"],
            envelope=decode_head(fields["envelope"], data),
            error=error_from_json(fields["error"]),
            transcript=transcript and Transcript(**transcript),
            unread=fields.get("unread"),
            unread_cut=int(fields.get("unread_cut", 0)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UnreadableEnvelope(f"the dead letter is damaged: {type(error).__name__}: {error}") from error


def summary(number: int, letter: Letter) -> Dead:
    """Return what lists need of a letter that the ledger keeps under this number."""
    return Dead(
        number=number,
        time=letter.time,
        queue=letter.queue,
        reason=letter.reason,
        event_id=letter.envelope.event.id,
        event_name=letter.envelope.event.name,
        error_type=letter.error.type,
        error_message=letter.error.message,
        attempts=len(letter.envelope.attempts) + letter.envelope.omitted,
    )


def _fitted(transcript: Transcript, room: int) -> dict[str, Any]:
    """Return the transcript as JSON has it, in at most some `room` bytes: bodies are cut before parameters."""
    fields: dict[str, Any] = {
        "parameters": dict(transcript.parameters),
        "status": transcript.status,
        "headers": dict(transcript.headers),
        "body": transcript.body,
        "error_output": transcript.error_output,
    }
    for limit in (room // 2, room // 4, room // 8, room // 32, 64):
        if len(to_json(fields).encode()) <= room:
            break
        for part in ("body", "error_output"):
            fields[part] = cut_in_the_middle(fields[part], limit)
        for part in ("headers", "parameters"):
            values = list(fields[part].items())[:60]
            fields[part] = {name[:200]: cut_in_the_middle(value, limit) for name, value in values}
    return fields


def _cut_to(text: str, limit: int) -> str:
    """Return the beginning of the text that weighs at most so many bytes, and twice as many in JSON."""
    text = text[:limit]
    while len(text.encode(errors="replace")) > limit or len(to_json({"": text}).encode()) > 2 * limit:
        text = text[: len(text) * 3 // 4]
    return text
