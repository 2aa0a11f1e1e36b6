"""A call: a question to the app's listeners, and its answer, and how both are written. Pure.

A call is no event: it is not stored, not retried, and answered at most once. On the wire, questions and answers are one
line of JSON, the head, and then the data, byte for byte.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bridge.attempt import Error
from bridge.attempt_text import error_from_json, error_to_json
from bridge.envelope import Envelope, decode_head, encode_head, to_json
from bridge.errors import UnreadableEnvelope
from bridge.event import Event
from bridge.json_fields import any_text, exact_text, json_object, optional, seconds

VERSION = 1

LONGEST_TIMEOUT = 20 * 60.0
"""Seconds: the longest timeout of a call. RabbitMQ closes a channel with a question that is not answered for 30 minutes
(`consumer_timeout`)."""

MAX_ATTRIBUTE = 1000
"""The longest content type and release in characters."""


@dataclass(frozen=True, slots=True)
class Question:
    """The question of a caller. `event` has the name and the data; its `time` is the time of the call. `timeout` is the
    number of seconds that the caller waits from that time on."""

    event: Event
    timeout: float

    def remaining(self, now: datetime) -> float:
        """Return how many seconds the caller still waits, by the clock of this host; at most `timeout`. The clocks of
        the caller's host and of this host may differ by a little."""
        return min(self.timeout - (now - self.event.time).total_seconds(), self.timeout)


class AnswerKind(StrEnum):
    """The end of a call."""

    ANSWERED = "answered"
    FAILED = "failed"
    """The app raised, its process ended, or its reply was no answer."""
    REJECTED = "rejected"
    """The listener raised `Reject`."""
    NO_LISTENER = "no listener"
    """The app that the worker runs has no listener for the name."""
    LATE = "late"
    """The worker got the question after its time, and did not begin it."""
    OUT_OF_TIME = "out of time"
    """The listener ran until the caller's time was up, and was ended."""
    LOST = "lost"
    """The worker that took the question is gone. The listener may have run."""
    NOT_BEGUN = "not begun"
    """The worker stops and has not begun the call, so that it can be asked again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question. `data` has `content_type` if the call was answered; otherwise `error` says why not."""

    kind: AnswerKind
    data: bytes = b""
    content_type: str = ""
    error: Error | None = None
    release: str | None = None

    @property
    def why(self) -> str:
        """The reason why there is no answer, for people."""
        return f"{self.kind}" if self.error is None else f"{self.error.type}: {self.error.message}"


def unanswered(kind: AnswerKind, why: str) -> Answer:
    """Return the answer to a call that the app has not answered; `why` is for people."""
    return Answer(kind, error=Error(str(kind), why))


def encode_question(question: Question) -> bytes:
    """Return the question in one piece. Raise `TooLarge` if the event's attributes are too large."""
    head = encode_head(Envelope(question.event, round_began=question.event.time))
    return _joined({"v": VERSION, "timeout": question.timeout, "event": head}, question.event.data)


def decode_question(data: bytes) -> Question:
    """Return the question. Raise `UnreadableEnvelope`, which says what is wrong."""
    fields, body = _split(data, "question")
    try:
        event = decode_head(any_text(fields["event"]), body).event
        return Question(event, seconds(fields["timeout"], LONGEST_TIMEOUT))
    except (KeyError, ValueError) as error:
        raise UnreadableEnvelope(f"the question is damaged: {type(error).__name__}: {error}") from error


def encode_answer(answer: Answer) -> bytes:
    """Return the answer in one piece."""
    error = None if answer.error is None else error_to_json(answer.error.bounded())
    fields = {
        "v": VERSION,
        "kind": str(answer.kind),
        "datacontenttype": answer.content_type or None,
        "error": error,
        "release": answer.release,
    }
    return _joined({key: value for key, value in fields.items() if value is not None}, answer.data)


def decode_answer(data: bytes) -> Answer:
    """Return the answer. Raise `UnreadableEnvelope`, which says what is wrong."""
    fields, body = _split(data, "answer")
    try:
        return Answer(
            kind=AnswerKind(exact_text(fields["kind"], MAX_ATTRIBUTE)),
            data=body,
            content_type=exact_text(fields.get("datacontenttype", ""), MAX_ATTRIBUTE),
            error=optional(error_from_json, fields.get("error")),
            release=optional(any_text, fields.get("release")),
        )
    except (KeyError, ValueError) as error:
        raise UnreadableEnvelope(f"the answer is damaged: {type(error).__name__}: {error}") from error


def _joined(fields: dict[str, Any], data: bytes) -> bytes:
    return to_json(fields).encode() + b"\n" + data


def _split(data: bytes, what: str) -> tuple[dict[str, Any], bytes]:
    head, _, body = data.partition(b"\n")
    try:
        fields = dict(json_object(head))
    except ValueError as error:
        raise UnreadableEnvelope(f"the head of the {what} is not JSON: {error}") from error
    version = fields.get("v")
    if isinstance(version, bool) or version != VERSION:
        raise UnreadableEnvelope(f"the {what} is of version {version!r:.80}, this program knows version {VERSION}")
    return fields, body
