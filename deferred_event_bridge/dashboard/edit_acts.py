"""The acts about the content of one dead letter: put its event back with other data, and erase it for good."""

import json
from datetime import UTC, datetime
from hashlib import sha256

from bridge.brokers.contract.broker import Broker
from bridge.config.dashboard_settings import Role
from bridge.config.sqlite_url import is_sqlite
from bridge.console.printable import printable
from bridge.errors import UnreadableEnvelope
from bridge.event import Event
from bridge.ledger import Letter
from bridge.redaction import Redaction
from bridge.strict_json import strict_json
from dead_letter.editing import erase, json_value, new_id, put_back_edited, text_to_edit, why_not
from deferred_event_bridge.dashboard.asking import Act, Field, Question, Sent
from deferred_event_bridge.dashboard.screens.asked import Asked, NotThere, Unusable, command

MOST_EDITED = 32 * 1024
"""The most bytes of data that are edited on the page."""

MOST_SENT = 128 * 1024
"""The most characters of data that a form brings back."""

NOT_ERASED_THERE = (
    "RabbitMQ keeps the ledger in a stream, from which no single letter can be erased. A policy with max-age removes "
    "its oldest part."
)


def _ask_edit(asked: Asked) -> Question:
    number, letter = _letter(asked)
    if asked.observer.ledger.letter(number) is None:
        raise NotThere(f"Letter {number} is decided already, or the ledger is still being read.")
    event = letter.envelope.event
    text = _shown(event, asked, number)
    new = new_id(asked.now)
    finished = len(letter.envelope.finished)
    return Question(
        title=f"Edit the data of letter {number}, and put it back?",
        sentences=(
            f"The event {event.name}, with {len(event.data):,} bytes of data now, goes back to "
            f"{f'queue {letter.queue}' if letter.queue else 'the queues that take it'} with the data below and the "
            f"new id {new}.",
            f"Letter {number} is closed, and its record names the new event. The name, the trace and the history stay.",
            *([f"{finished:,} listeners that have finished do not run again."] if finished else []),
            *(
                ["Fields that the setting redact names are hidden. One that keeps the text [redacted] keeps its value."]
                if "[redacted]" in text
                else []
            ),
        ),
        button="Put it back",
        frozen={"number": number, "id": new, "shown": sha256(text.encode()).hexdigest()},
        command=command("bridge-dlq", "edit", str(number), "--reason", "…"),
        back=("letter", {"number": str(number)}),
        after=("event", {"id": new}),
        fields=(Field("data", f"Data, {event.content_type}", "", text, required=True, lines=True),),
    )


def _edit(asked: Asked, sent: Sent) -> str:
    number, text = sent.frozen["number"], sent.fields.get("data", "").replace("\r\n", "\n")
    if asked.observer.ledger.letter(number) is None:
        return f"Nothing was changed: letter {number} was decided meanwhile."
    if sha256(text.encode()).hexdigest() == sent.frozen["shown"]:
        raise Unusable("Data: these are the old ones. To put the letter back as it is, redrive it")

    async def put_back(broker: Broker) -> Event:
        ledger = broker.ledger()
        try:
            letter = _readable(number, await ledger.letter(number))
            data = _data(letter.envelope.event, text, asked)
            return await put_back_edited(
                ledger, number, letter, data, sent.who, sent.why, datetime.now(UTC), sent.frozen["id"]
            )
        finally:
            await ledger.close()

    event = asked.observer.ask(put_back)
    return f"Letter {number} is put back as event {event.id}, with {len(event.data):,} bytes of data."


def _ask_erase(asked: Asked) -> Question:
    if not is_sqlite(asked.settings.values.broker_url):
        raise NotThere(NOT_ERASED_THERE)
    number, letter = _letter(asked)
    is_open = asked.observer.ledger.letter(number) is not None
    errors = sum(attempt.error is not None for attempt in letter.envelope.attempts)
    return Question(
        title=f"Erase letter {number} for good?",
        sentences=(
            f"Its {len(letter.envelope.event.data):,} bytes of data, its last request and reply, and the messages of "
            f"its {errors:,} failed attempts are removed from the ledger. Nobody can bring them back.",
            "The number, the event's name and id, the queue, the times and the types of the errors stay.",
            *(["The letter is open: it is discarded too."] if is_open else []),
            "The history keeps the messages of errors for its own time, and so does a queue in which the event waits.",
        ),
        button="Erase for good",
        frozen={"number": number},
        command=command("bridge-dlq", "erase", str(number), "--reason", "…"),
        back=("letter", {"number": str(number)}),
        after=("letter", {"number": str(number)}),
        danger=True,
    )


def _erase(asked: Asked, sent: Sent) -> str:
    number = sent.frozen["number"]

    async def erased(broker: Broker) -> bool:
        ledger = broker.ledger()
        try:
            return await erase(ledger, [number], sent.who, sent.why)
        finally:
            await ledger.close()

    clean = asked.observer.ask(erased)
    asked.observer.ledger.forget_message(number)
    if clean:
        return f"Erased letter {number}."
    return (
        f"Erased letter {number}. Other processes use the file, so SQLite's journal may hold the old pages until they "
        "end: erase it again to be sure."
    )


def _letter(asked: Asked) -> tuple[int, Letter]:
    """Return the letter of the query, whole. Raise `NotThere`."""
    text = asked.text("number") or ""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Unusable("number: expected the number of a letter")
    number = int(text)
    asked.observer.seen()

    async def read(broker: Broker) -> Letter:
        ledger = broker.ledger()
        try:
            return _readable(number, await ledger.letter(number))
        finally:
            await ledger.close()

    try:
        return number, asked.observer.ask(read)
    except UnreadableEnvelope as error:
        raise NotThere(f"Letter {number} cannot be read: {error}") from error


def _readable(number: int, letter: Letter | None) -> Letter:
    if letter is None:
        raise NotThere(f"The ledger no longer has letter {number}.")
    return letter


def _shown(event: Event, asked: Asked, number: int) -> str:
    """Return the data for the form, without what is hidden. Raise `NotThere` for data that a form cannot bring back as
    they are."""
    in_terminal = f"Edit it in a terminal: bridge-dlq edit {number}"
    shown = Redaction(asked.settings.values.redact).in_event(event)
    if shown.data != event.data and json_value(event.data) is None:
        raise NotThere(f"The data of this letter have hidden fields, and cannot be read as JSON. {in_terminal}")
    text = text_to_edit(shown)
    if text is None or printable(text, lines=True) != text:
        raise NotThere(f"The data of this letter are no plain text. {in_terminal} --data-file FILE")
    if len(text.encode()) > MOST_EDITED:
        raise NotThere(f"The data of this letter are too long for a form. {in_terminal}")
    return text


def _data(event: Event, text: str, asked: Asked) -> bytes:
    """Return the data that a form brings, with the values of hidden fields. Raise `Unusable`."""
    data = text.encode()
    old = json_value(event.data)
    if old is not None:
        try:
            new = strict_json(text)
            restored = Redaction(asked.settings.values.redact).restored(new, old[0])
        except (ValueError, RecursionError) as error:
            raise Unusable(f"Data: expected JSON, as the old data are: {error}") from error
        if restored != new:
            data = json.dumps(restored, indent=2).encode()
    if (why := why_not(event, data, asked.settings.values.max_body)) is not None:
        raise Unusable(f"Data: {why}")
    return data


EDIT = Act(Role.EDIT, _ask_edit, _edit, most=MOST_SENT)
ERASE = Act(Role.EDIT, _ask_erase, _erase)
