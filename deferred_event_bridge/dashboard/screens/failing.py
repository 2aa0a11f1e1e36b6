"""Failing: what fails, and why? Groups of open dead letters, one group, and one letter."""

from collections.abc import Sequence
from typing import Any

from bridge.brokers.contract.broker import Broker
from bridge.errors import UnreadableEnvelope
from bridge.event import UNKNOWN_TIME
from bridge.ledger import Dead, Letter
from dead_letter.choosing import History, NotOneLetter, find
from dead_letter.letter_page import letter_to_document
from dead_letter.payload import preview
from deferred_event_bridge.dashboard.ledger_fold import GroupOfLetters
from deferred_event_bridge.dashboard.screens.asked import Asked, NotThere, command, iso, option

GROUPS_SHOWN = 200
LETTERS_SHOWN = 50
MAX_BODY = 20_000
"""The most characters of a reply's body or an error output on the page."""


def document(asked: Asked) -> dict[str, Any]:
    """Return the groups that the query selects by parts of the event's name, the queue and the error. The group whose
    first letter is the newest comes first, so rows keep their order while letters are added."""
    seen, ledger = asked.observer.seen(), asked.observer.ledger
    queue, words = asked.text("queue"), (asked.text("q") or "").lower()
    groups = [group for group in ledger.groups() if _selected(group, queue, words)]
    groups.sort(key=lambda group: (group.first, group.id), reverse=True)
    count = sum(group.count for group in groups)
    return {
        "as_of": iso(seen.time),
        "unreachable": seen.trouble,
        "read": seen.ledger_read,
        "level": "wait" if count else "good",
        "headline": _headline(count, len(groups), seen.ledger_read, bool(queue or words)),
        "count": count,
        "groups": [_group(group) for group in groups[:GROUPS_SHOWN]],
        "more": max(len(groups) - GROUPS_SHOWN, 0),
        "skipped": ledger.skipped,
        "queue": queue,
        "q": asked.text("q"),
        "command": command("bridge-dlq", "list", *option("--queue", queue)),
    }


def group(asked: Asked, group_id: str) -> dict[str, Any]:
    """Return one group with its newest letters. Raise `NotThere`."""
    asked.observer.seen()
    ledger = asked.observer.ledger
    found = next((each for each in ledger.groups() if each.id == group_id), None)
    if found is None:
        raise NotThere("This group has no open letter. All of them were decided, or the ledger is still being read.")
    letters = ledger.letters(group_id)[-LETTERS_SHOWN:][::-1]
    return {
        **_group(found),
        "through": found.newest,
        "letters": [_dead(letter) for letter in letters],
        "more": found.count - len(letters),
        "sample": _sample(asked, found.newest),
        "command": command(*words_of(found, "list", "--ids")),
    }


def letter(asked: Asked, number: int) -> dict[str, Any]:
    """Return everything about one letter. Raise `NotThere`."""

    async def read(broker: Broker) -> tuple[History, Letter | UnreadableEnvelope | None]:
        ledger = broker.ledger()
        try:
            history = (await find(ledger, [str(number)]))[str(number)]
            try:
                return history, await ledger.letter(number)
            except UnreadableEnvelope as error:
                return history, error
        finally:
            await ledger.close()

    try:
        history, found = asked.observer.ask(read)
    except NotOneLetter as error:
        raise NotThere(str(error)) from error
    if not isinstance(found, Letter):
        raise NotThere(f"Letter {number} cannot be read: {found or 'the ledger no longer has it'}")
    text, complete = preview(found.envelope.event)
    return {
        **letter_to_document(history, found),
        "payload": text,
        "payload_complete": complete,
        "bytes": len(found.envelope.event.data),
        "command": command("bridge-dlq", "show", str(number)),
    }


def words_of(group: GroupOfLetters, verb: str, *further: str) -> Sequence[str]:
    """Return the words of a command line that selects a group."""
    return (
        *("bridge-dlq", verb, "--event", group.event),
        *option("--queue", group.queue or None),
        *("--error", group.error),
        *further,
    )


def _sample(asked: Asked, number: int) -> dict[str, Any] | None:
    """Return the newest letter's error; None if it cannot be read now."""

    async def read(broker: Broker) -> Letter | None:
        ledger = broker.ledger()
        try:
            return await ledger.letter(number)
        except UnreadableEnvelope:
            return None
        finally:
            await ledger.close()

    found = asked.observer.ask(read)
    if found is None:
        return None
    releases = sorted({attempt.release for attempt in found.envelope.attempts if attempt.release})
    return {"number": number, "traceback": found.error.traceback, "message": found.error.message, "releases": releases}


def _selected(group: GroupOfLetters, queue: str | None, words: str) -> bool:
    text = f"{group.event} {group.error}: {group.message}".lower()
    return (queue is None or group.queue == queue) and words in text


def _headline(count: int, groups: int, read: bool, filtered: bool) -> str:
    if not count:
        if not read:
            return "Reading the ledger …"
        return "No open dead letter matches." if filtered else "Nothing is dead."
    still = "" if read else ", still reading"
    letters, kinds = "letter" if count == 1 else "letters", "kind" if groups == 1 else "kinds"
    return f"{count:,} open dead {letters} of {groups:,} {kinds}{still}."


def _group(group: GroupOfLetters) -> dict[str, Any]:
    return {
        "id": group.id,
        "event": group.event,
        "queue": group.queue,
        "error": group.error,
        "message": group.message,
        "believed": group.believed,
        "count": group.count,
        "first": None if group.first == UNKNOWN_TIME else iso(group.first),
        "last": None if group.last == UNKNOWN_TIME else iso(group.last),
        "newest": group.newest,
    }


def _dead(letter: Dead) -> dict[str, Any]:
    return {
        "number": letter.number,
        "time": None if letter.time == UNKNOWN_TIME else iso(letter.time),
        "id": letter.event_id,
        "message": letter.error_message,
        "attempts": letter.attempts,
        "reason": letter.reason,
    }
