"""Edit a dead letter's event, and erase letters: what `bridge-dlq` and the page do alike."""

import os
from collections.abc import Collection
from datetime import datetime

from bridge.brokers.contract.ledger import Ledger
from bridge.console.printable import readable_json
from bridge.event import Event, event_id
from bridge.ledger import ERASED_NOTE, Letter
from bridge.strict_json import strict_json


def text_to_edit(event: Event) -> str | None:
    """Return the data for an editor: JSON is indented, and its characters that cannot be printed are escaped. None if
    the data are no text."""
    value = json_value(event.data)
    try:
        return event.data.decode() if value is None else readable_json(value[0], indent=2) + "\n"
    except UnicodeDecodeError:
        return None


def why_not(event: Event, data: bytes, most: int) -> str | None:
    """Return why an event cannot have these data: they have more than `most` bytes, or cannot be read as JSON,
    as the old data can. None if it can."""
    if len(data) > most:
        return f"the data have {len(data):,} bytes, max_body is {most:,}"
    if json_value(event.data) is not None:
        try:
            strict_json(data)
        except ValueError as error:
            return f"the data cannot be read as JSON, as the old data can: {error}"
    return None


def json_value(data: bytes) -> tuple[object] | None:
    """Return the JSON value of the data in a tuple; None for data that cannot be read as JSON."""
    try:
        return (strict_json(data),)
    except ValueError:
        return None


def new_id(now: datetime) -> str:
    """Return the id of an event that replaces another."""
    return event_id(now, os.urandom(10))


async def put_back_edited(
    ledger: Ledger, number: int, letter: Letter, data: bytes, who: str, why: str, now: datetime, new: str
) -> Event:
    """Put the event of a letter back with these data and the id `new`, record the decision, and return the new event.
    Raise `BrokerRefused` if the letter is not open, and `UnreadableEnvelope`."""
    envelope = letter.revived(now)
    event = envelope.event._replace(id=new, time=now, data=data)
    note = f"edited, as event {event.id}{f': {why}' if why else ''}"
    async with ledger.deciding() as decisions:
        await decisions.redrive(number, envelope._replace(event=event), letter.queue, who, note)
    return event


async def erase(ledger: Ledger, numbers: Collection[int], who: str, why: str) -> bool:
    """Erase the letters with these numbers. Return False if copies may remain for some time. Raise `BrokerRefused` if
    there is no such letter, or if the broker cannot remove anything."""
    async with ledger.deciding() as decisions:
        clean = [await decisions.erase(number, who, f"{ERASED_NOTE}{why}") for number in numbers]
    return all(clean[-1:])
