"""An envelope as an AMQP message: the event's data is the body, byte for byte, and the envelope's head is one header.

Other headers of a received message are never copied: with an inherited `x-death`, RabbitMQ could take the new message
for a dead-letter cycle and drop it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bridge.envelope import Envelope, encode_head
from bridge.event import Event, format_time, parse_time
from bridge.ledger import Decision, Letter
from bridge.ledger_keys import LedgerKeys
from bridge.letter_text import encode_decision, encode_letter

ENVELOPE = "bridge-envelope"
LETTER = "bridge-letter"
DECISION = "bridge-decision"
DUE = "bridge-due"
SIGNATURE = "bridge-signature"
DECISION_KEY = "decision"
LETTER_KEY = "letter."
"""The routing key of decisions, and the beginning of the routing keys of letters, which end with the queue. RabbitMQ
moves a message to the ledger with its queue's name, which has no dot, or with a key of the delay ladder, which has more
than twenty."""
SENT = "bridge-sent"


BYTES_A_CHARACTER = 4
HEADER_OVERHEAD = 1024
"""Bytes of a message's header besides the texts of its headers: the properties, each of at most 255 bytes, the names of
the headers, and the frame itself."""
LARGEST_FRAME = 128 * 1024
"""Bytes: RabbitMQ's default, for which envelopes and letters are always small enough."""

MAX_SHORT_STRING = 255
_FIRST_TIME = datetime.fromtimestamp(0, UTC)  # AMQP's timestamps are not negative


@dataclass(frozen=True, slots=True)
class Message:
    """The body, headers and properties of a message to be published."""

    body: bytes
    headers: dict[str, str]
    content_type: str | None = None
    type: str | None = None
    time: datetime | None = None

    def header_within(self, frame: int) -> bool:
        """Return True if the message's header, with its properties, fits into a frame of this many bytes."""
        characters = sum(map(len, self.headers.values()))
        if characters * BYTES_A_CHARACTER + HEADER_OVERHEAD <= frame:
            return True
        return sum(len(text.encode()) for text in self.headers.values()) + HEADER_OVERHEAD <= frame


def envelope_message(envelope: Envelope, frame: int = LARGEST_FRAME) -> Message:
    """Return the envelope as a message whose header fits into a frame of this many bytes. Raise `TooLarge`."""
    return _message(envelope.event, {ENVELOPE: encode_head(envelope, frame - HEADER_OVERHEAD)})


def delayed(message: Message, sent: datetime, due: datetime) -> Message:
    """Return the message with headers that say when it is sent and when it is due. It may leave the delay ladder before
    that: it is due beyond the ladder's end, or a policy shortens the levels."""
    return replace(message, headers={**message.headers, SENT: format_time(sent), DUE: format_time(due)})


def letter_message(letter: Letter, frame: int = LARGEST_FRAME) -> Message:
    """Return a dead letter as a message to the ledger whose header fits into a frame of this many bytes. Raise
    `TooLarge`."""
    return _message(letter.envelope.event, {LETTER: encode_letter(letter, frame - HEADER_OVERHEAD)})


def signed(namespace: str, keys: LedgerKeys, message: Message) -> Message:
    """Return a letter or a decision with its signature; without a key, unchanged."""
    if not keys:
        return message
    kind, text = next(iter(message.headers.items()))
    signature = keys.signature(*signed_parts(namespace, kind, text, message.body))
    return replace(message, headers={**message.headers, SIGNATURE: signature})


def signed_parts(namespace: str, kind: str, text: str, body: bytes) -> tuple[bytes, ...]:
    """Return what the signature of a letter or a decision covers. `kind` is the name of its header."""
    return namespace.encode(), kind.encode(), text.encode(errors="replace"), body


def decision_message(decision: Decision) -> Message:
    """Return a decision as a message to the ledger. Its offset in the stream becomes its number."""
    return Message(b"", {DECISION: encode_decision(decision)})


def still_due(headers: Mapping[str, object], now: datetime) -> datetime | None:
    """Return the time at which a delayed message is due that left the delay ladder too early; None for any other
    message. If the message seems to be sent in the future, the clocks disagree, and RabbitMQ's wait counts."""
    if DUE not in headers:
        return None
    due, sent = _time_in(headers, DUE), _time_in(headers, SENT)
    if due is None or due <= now or (sent is not None and sent > now):
        return None
    return due


def _time_in(headers: Mapping[str, object], name: str) -> datetime | None:
    text = headers.get(name)
    try:
        return parse_time(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _message(event: Event, headers: dict[str, str]) -> Message:
    time = event.time if event.time >= _FIRST_TIME else None
    return Message(event.data, headers, _short(event.content_type), _short(event.name), time)


def _short(text: str) -> str | None:
    """Return the text if a property can hold it, else None; the envelope's head has the text in both cases."""
    return text if len(text.encode()) <= MAX_SHORT_STRING else None
