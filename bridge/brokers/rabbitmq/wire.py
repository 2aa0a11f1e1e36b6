"""An envelope as an AMQP message: the event's data is the body, byte for byte, and the envelope's head is one header.

Nothing that a message brought besides travels on: RabbitMQ drops what it takes for a cycle by an inherited `x-death`.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from pamqp.commands import Basic

from bridge.envelope import Envelope, encode_head
from bridge.event import Event, moment, timestamp
from bridge.ledger import Letter, encode_letter

ENVELOPE = "bridge-envelope"
LETTER = "bridge-letter"
DECISION = "bridge-decision"
DUE = "bridge-due"

PERSISTENT = 2
MAX_SHORT_STRING = 255
_FIRST_TIME = datetime.fromtimestamp(0, UTC)  # AMQP's timestamps are not negative


@dataclass(frozen=True, slots=True)
class Message:
    """What is published: a body and its headers. Each publish of it makes properties of its own."""

    body: bytes
    headers: dict[str, str]
    content_type: str | None = None
    type: str | None = None
    time: datetime | None = None

    def properties(self) -> Basic.Properties:
        """Return the properties of one publish. The message id is this publish's alone: aiormq finds by it which
        publish came back."""
        return Basic.Properties(
            message_id=uuid.uuid4().hex,
            delivery_mode=PERSISTENT,
            headers=dict(self.headers),
            content_type=self.content_type,
            message_type=self.type,
            timestamp=self.time,
        )


def envelope_message(envelope: Envelope, *, parked_until: datetime | None = None) -> Message:
    """Return the envelope as a message; `parked_until` is when it is truly due, where it leaves the ladder before."""
    headers = {ENVELOPE: encode_head(envelope)}
    if parked_until is not None:
        headers[DUE] = timestamp(parked_until)
    return _message(envelope.event, headers)


def letter_message(letter: Letter) -> Message:
    """Return a dead letter as a message to the ledger."""
    return _message(letter.envelope.event, {LETTER: encode_letter(letter)})


def due_of(headers: dict[str, object]) -> datetime | None:
    """Return when a parked message is truly due; None where it was not parked."""
    text = headers.get(DUE)
    try:
        return moment(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _message(event: Event, headers: dict[str, str]) -> Message:
    time = event.time if event.time >= _FIRST_TIME else None
    return Message(event.data, headers, _short(event.content_type), _short(event.name), time)


def _short(text: str) -> str | None:
    """Return the text where a property can hold it; the head has it in any case."""
    return text if len(text.encode()) <= MAX_SHORT_STRING else None
