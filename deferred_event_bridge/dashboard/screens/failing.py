"""Failing: what fails, and why? Groups of dead letters and retrying events, and one group of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.brokers.any_broker.failure_reading import sample
from bridge.brokers.contract.broker import Broker
from bridge.errors import UnreadableEnvelope
from bridge.event import UNKNOWN_TIME
from bridge.failures.in_common import Sample
from bridge.ledger import Dead, Letter
from bridge.redaction import Redaction
from dead_letter.group_pages import ShownGroup, group_document, state_text
from deferred_event_bridge.dashboard.failures_now import GroupNow
from deferred_event_bridge.dashboard.screens.asked import Asked, NotThere, command, iso

GROUPS_SHOWN = 100
LETTERS_SHOWN = 50


def document(asked: Asked) -> dict[str, Any]:
    """Return the groups that the query selects: by a part of the error, the event or the place (`q`), and by the queue.
    The group whose first failure is the newest comes first, so rows keep their order while failures are added. Groups
    that are quiet or fixed come last."""
    seen, ledger = asked.observer.seen(), asked.observer.ledger
    queue, words = asked.text("queue"), (asked.text("q") or "").lower()
    groups = [each for each in seen.groups if _selected(each, queue, words)]
    groups.sort(key=lambda each: (each.state.is_loud, each.document["first"] or "", each.group.id), reverse=True)
    dead, retrying = _counts(groups)
    loud = sum(each.state.is_loud for each in groups)
    return {
        "as_of": iso(seen.time),
        "unreachable": seen.trouble,
        "read": seen.ledger_read,
        "level": "wait" if loud or not seen.ledger_read else "good",
        "headline": _headline(dead, retrying, len(groups), seen.ledger_read, bool(queue or words)),
        "dead": dead,
        "retrying": retrying,
        "groups": [_group(each, each.document, asked) for each in groups[:GROUPS_SHOWN]],
        "more": max(len(groups) - GROUPS_SHOWN, 0),
        "skipped": ledger.skipped,
        "queue": queue,
        "q": asked.text("q"),
        "command": command("bridge-dlq", "groups"),
    }


def group(asked: Asked, group_id: str) -> dict[str, Any]:
    """Return one group with its newest letters. Raise `NotThere`."""
    seen = asked.observer.seen()
    found = next((each for each in seen.groups if each.group.id == group_id), None)
    if found is None:
        still = "" if seen.ledger_read else " The ledger is still being read."
        raise NotThere(f"Nothing fails in the group {group_id:.20} now.{still}")
    dead = found.group.dead
    shared, newest = _samples(asked, found)
    return {
        **_group(found, group_document(ShownGroup(found.group, found.state, shared)), asked),
        "believed": all(letter.believed for letter in dead),
        "letters": [_dead(letter) for letter in dead[-LETTERS_SHOWN:][::-1]],
        "more": max(len(dead) - LETTERS_SHOWN, 0),
        "sample": newest,
        "command": command("bridge-dlq", "list", "--ids", "--group", group_id),
    }


def _samples(asked: Asked, found: GroupNow) -> tuple[Sample, dict[str, Any] | None]:
    """Return what the newest letters have in common, and the error of the newest; None if it cannot be read."""
    if not found.group.dead:
        return Sample(), None
    number = found.group.dead[-1].number

    async def read(broker: Broker) -> tuple[Sample, Letter | None]:
        ledger = broker.ledger()
        try:
            shared = await sample(ledger, found.group)
            try:
                return shared, await ledger.letter(number)
            except UnreadableEnvelope:
                return shared, None
        finally:
            await ledger.close()

    shared, newest = asked.observer.ask(read)
    if newest is None:
        return shared, None
    newest = Redaction(asked.settings.values.redact).in_letter(newest)
    return shared, {"number": number, "traceback": newest.error.traceback, "message": newest.error.message}


def _selected(each: GroupNow, queue: str | None, words: str) -> bool:
    text = " ".join((each.group.id, each.group.fingerprint.title, *each.document["events"])).lower()
    return (queue is None or queue in each.document["queues"]) and words in text


def _counts(groups: Iterable[GroupNow]) -> tuple[int, int]:
    counts = [(len(each.group.dead), len(each.group.retrying)) for each in groups]
    return sum(dead for dead, _ in counts), sum(retrying for _, retrying in counts)


def _headline(dead: int, retrying: int, groups: int, read: bool, filtered: bool) -> str:
    if not groups:
        if not read:
            return "Reading the ledger …"
        return "Nothing that fails matches." if filtered else "Nothing fails."
    still = "" if read else ", still reading"
    causes = "cause" if groups == 1 else "causes"
    return f"{dead:,} dead and {retrying:,} retrying, by {groups:,} {causes}{still}."


def _group(each: GroupNow, document: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    state = {"text": state_text(each.state, asked.now), "is_loud": each.state.is_loud}
    return {**document, "state": {**document["state"], **state}}


def _dead(letter: Dead) -> dict[str, Any]:
    return {
        "number": letter.number,
        "time": None if letter.time == UNKNOWN_TIME else iso(letter.time),
        "id": letter.event_id,
        "name": letter.event_name,
        "queue": letter.queue,
        "message": letter.error_message,
        "attempts": letter.attempts,
        "release": letter.release,
        "reason": letter.reason,
        "believed": letter.believed,
    }
