"""One dead letter: everything about it."""

from typing import Any

from bridge.brokers.contract.broker import Broker
from bridge.config.sqlite_url import is_sqlite
from bridge.errors import UnreadableEnvelope
from bridge.ledger import Letter, summary
from bridge.redaction import Redaction
from dead_letter.choosing import History, NotOneLetter, find
from dead_letter.letter_page import letter_to_document
from dead_letter.payload import preview
from deferred_event_bridge.dashboard.screens.asked import Asked, NotThere, command


def document(asked: Asked, number: int) -> dict[str, Any]:
    """Return everything about the letter with this number; `open` is None as long as the ledger was not read. Raise
    `NotThere`."""
    is_read, known = asked.observer.seen().ledger_read, asked.observer.ledger.history(number)

    async def read(broker: Broker) -> tuple[History, Letter | UnreadableEnvelope | None]:
        ledger = broker.ledger()
        try:
            try:
                found: Letter | UnreadableEnvelope | None = await ledger.letter(number)
            except UnreadableEnvelope as error:
                found = error
            if known is not None:
                return known, found
            if not is_read and isinstance(found, Letter):  # not to read the whole ledger a second time meanwhile
                return History(summary(number, found)), found
            return (await find(ledger, [str(number)]))[str(number)], found
        finally:
            await ledger.close()

    try:
        history, found = asked.observer.ask(read)
    except NotOneLetter as error:
        raise NotThere(str(error)) from error
    if not isinstance(found, Letter):
        raise NotThere(f"Letter {number} cannot be read: {found or 'the ledger no longer has it'}")
    found = Redaction(asked.settings.values.redact).in_letter(found)
    text, complete = preview(found.envelope.event)
    return {
        **letter_to_document(history, found),
        "open": history.open if is_read else None,
        "payload": text,
        "payload_complete": complete,
        "bytes": len(found.envelope.event.data),
        "erasable": is_sqlite(asked.settings.values.broker_url) and not found.erased,
        "group": history.letter.fingerprint.id,
        "command": command("bridge-dlq", "show", str(number)),
    }
