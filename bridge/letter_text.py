"""Writes dead letters and decisions as JSON, and reads them from JSON that another program may have written. Pure.

The event's data is not in the text. Every text is bounded when it is written and when it is read.
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from bridge.attempt import Error, cut_in_the_middle, encodable
from bridge.attempt_text import error_from_json, error_to_json
from bridge.envelope import MAX_HEAD, Envelope, decode_head, encode_head, to_json
from bridge.errors import TooLarge, UnreadableEnvelope
from bridge.event import format_time
from bridge.json_fields import (
    any_text,
    count,
    cut_text,
    exact_text,
    json_object,
    mapping,
    number,
    optional,
    texts,
    time,
)
from bridge.ledger import Decision, Discarded, Letter, Redriven, Transcript
from bridge.settlement import Reason

MAX_LETTER = 120 * 1024
"""The largest letter in bytes. RabbitMQ closes the connection if the headers of a message exceed 128 KiB."""

MAX_WITH_TRANSCRIPT = 64 * 1024
"""Bytes up to which a letter is filled with its transcript."""

TRANSCRIPT_AT_LEAST = 4 * 1024
"""Bytes of the transcript in a letter that is larger without it, if `MAX_LETTER` allows for them."""

MAX_UNREAD = MAX_HEAD
"""Bytes that a letter keeps of an envelope's head that could not be read. A longer head is cut, so that no version of
the program can read it."""

MAX_QUEUE = 255
MAX_ACTOR = 200
MAX_NOTE = 2_000
MAX_FIELDS = 60
"""The most parameters of a request, or headers of a reply, that a transcript keeps, and their longest name."""
MAX_FIELD_NAME = 200
MAX_STATUS = 999

_KINDS: dict[str, type[Redriven] | type[Discarded]] = {"redriven": Redriven, "discarded": Discarded}


def encode_letter(letter: Letter, most: int = MAX_LETTER) -> str:
    """Return the letter without the event's data, as JSON of at most `most` bytes and `MAX_LETTER`.

    A letter that is too large loses its transcript first, then the history of its envelope, the traceback and the end
    of `unread`. Raise `TooLarge` if even the event's attributes do not fit.
    """
    most = min(most, MAX_LETTER)
    for fields in _ever_smaller(letter):
        size = len(to_json(fields).encode())
        if size > most:
            continue
        if letter.transcript is not None:
            room = min(max(MAX_WITH_TRANSCRIPT - size, TRANSCRIPT_AT_LEAST), most - size) - len(',"transcript":')
            transcript = _fitted(letter.transcript, room)
            fields |= {} if transcript is None else {"transcript": transcript}
        return to_json(fields)
    raise TooLarge(f"the attributes of event {letter.envelope.event.id} take more than {most} bytes")


def decode_letter(text: str | bytes, data: bytes) -> Letter:
    """Return the letter of an encoded text and the event's data. Raise `UnreadableEnvelope` for any other text."""
    try:
        fields = json_object(text)
        version, reason = fields["letter"], fields["reason"]
        if version is not True and version == 1 and reason in get_args(Reason):
            return _letter(fields, reason, data)
    except (KeyError, ValueError) as error:
        raise UnreadableEnvelope(f"the dead letter is damaged: {type(error).__name__}: {error}") from error
    raise UnreadableEnvelope(
        f"the dead letter has version {version!r:.80} and reason {reason!r:.80}, which this program does not know"
    )


def encode_decision(decision: Decision) -> str:
    """Return a decision as JSON, without its number: that is its place in the ledger."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(decision, cls))
    return to_json(
        {
            "kind": kind,
            "letter": decision.letter,
            "time": format_time(decision.time),
            "actor": cut_in_the_middle(encodable(decision.actor), MAX_ACTOR),
            "note": cut_in_the_middle(encodable(decision.note), MAX_NOTE),
        }
    )


def decode_decision(entry_number: int, text: str | bytes) -> Decision:
    """Return the decision of a text, with its number in the ledger. Raise `ValueError` for any other text."""
    try:
        fields = json_object(text)
        kind = _KINDS[exact_text(fields["kind"], MAX_ACTOR)]
        letter, at = number(fields["letter"]), time(fields["time"])
        return kind(entry_number, letter, at, cut_text(fields["actor"], MAX_ACTOR), cut_text(fields["note"], MAX_NOTE))
    except KeyError as error:
        raise ValueError(f"there is no or another {error}") from error


def _letter(fields: Mapping[str, Any], reason: Reason, data: bytes) -> Letter:
    unread = optional(any_text, fields.get("unread"))
    return Letter(
        time=time(fields["time"]),
        queue=exact_text(fields["queue"], MAX_QUEUE),
        reason=reason,
        envelope=decode_head(exact_text(fields["envelope"], MAX_LETTER), data),
        error=error_from_json(fields["error"]),
        transcript=optional(_transcript, fields.get("transcript")),
        unread=unread,
        unread_cut=number(fields.get("unread_cut", 0)) if unread is not None else 0,
    )


def _transcript(value: object) -> Transcript:
    fields = mapping(value)
    return Transcript(
        parameters=_texts(fields.get("parameters", {})),
        status=optional(lambda status: count(status, MAX_STATUS), fields.get("status")),
        headers=_texts(fields.get("headers", {})),
        body=any_text(fields.get("body", "")),
        error_output=any_text(fields.get("error_output", "")),
    )


def _texts(value: object) -> dict[str, str]:
    return texts(value, MAX_FIELDS, MAX_LETTER)


def _ever_smaller(letter: Letter) -> Iterator[dict[str, Any]]:
    """Yield the fields of the letter without its transcript, with less and less history, traceback and unread text."""
    full = letter.error.bounded()
    unread_text = None if letter.unread is None else encodable(letter.unread)
    for envelope, error, unread in zip(
        letter.envelope.ever_smaller(),
        (full, full, full.in_brief(), full.in_brief().without_traceback()),
        (MAX_UNREAD, MAX_UNREAD // 2, MAX_UNREAD // 8, 0),
        strict=True,
    ):
        yield _fields(letter, envelope, error) | _unread(unread_text, letter.unread_cut, unread)


def _fields(letter: Letter, envelope: Envelope, error: Error) -> dict[str, Any]:
    return {
        "letter": 1,
        "time": format_time(letter.time),
        "queue": letter.queue,
        "reason": letter.reason,
        "envelope": encode_head(envelope),
        "error": error_to_json(error),
    }


def _unread(text: str | None, cut_before: int, most: int) -> dict[str, Any]:
    if text is None:
        return {}
    kept = _cut_to(text, most)
    return {"unread": kept, "unread_cut": cut_before + len(text) - len(kept)}


def _fitted(transcript: Transcript, room: int) -> dict[str, Any] | None:
    """Return the transcript as a JSON object of at most `room` bytes; None if there is too little room. Long texts are
    cut, the bodies first."""
    most = max(room, 0)  # a character takes at least one byte
    fields: dict[str, Any] = {
        "parameters": dict(transcript.parameters),
        "status": transcript.status,
        "headers": dict(transcript.headers),
        "body": cut_in_the_middle(transcript.body, most),
        "error_output": cut_in_the_middle(transcript.error_output, most),
    }
    for limit in (room // 2, room // 4, room // 8, room // 32, 64):
        if len(to_json(fields).encode()) <= room:
            return fields
        for part in ("body", "error_output"):
            fields[part] = cut_in_the_middle(fields[part], limit)
        for part in ("headers", "parameters"):
            values = list(fields[part].items())[:MAX_FIELDS]
            fields[part] = {name[:MAX_FIELD_NAME]: cut_in_the_middle(value, limit) for name, value in values}
    for emptied in ("headers", "error_output", "body", "parameters"):
        if len(to_json(fields).encode()) <= room:
            return fields
        fields[emptied] = type(fields[emptied])()
    return fields if len(to_json(fields).encode()) <= room else None


def _cut_to(text: str, limit: int) -> str:
    """Return the beginning of the text, cut so that it has at most `limit` bytes, and twice as many in JSON."""
    text = text[:limit]
    while text and (len(text.encode()) > limit or len(to_json({"": text}).encode()) > 2 * limit):
        text = text[: len(text) * 3 // 4]
    return text
