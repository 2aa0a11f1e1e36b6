"""Event: what became of it? One line of time from the history, the ledger and the running workers."""

import re
from collections.abc import Sequence
from typing import Any

from bridge.brokers.any_broker.history_reading import history_of, newest
from bridge.brokers.contract.broker import Broker
from bridge.event import UNKNOWN_TIME
from bridge.history import ENDS, Entry, Filter, to_json
from bridge.ledger import Dead
from bridge.topics import check_pattern
from deferred_event_bridge.dashboard.screens.asked import Asked, Unusable, command, iso, option
from worker.history.finding import Wanted, find
from worker.history.story import Known, to_document, unknowns_of

_ID = re.compile(r"[A-Za-z0-9._:-]{4,255}")
LAST = 30
SHOWN = 20


def document(asked: Asked) -> dict[str, Any]:
    """Return the stories of the events that the query names by `id` (or its end) or `key`; without both, the newest
    attempts of the site, of those that `name` (a pattern), `queue` and `outcome` select. Raise `Unusable`."""
    event_id, key = asked.text("id"), asked.text("key")
    if event_id is not None and not _ID.fullmatch(event_id):
        raise Unusable("id: expected the id of an event, or its end of 4 characters or more")
    if event_id is None and key is None:
        return _newest(asked)
    wanted = Wanted(event_id, None) if event_id is not None else Wanted(None, key)

    seen, ledger = asked.observer.seen(), asked.observer.ledger

    async def look(broker: Broker) -> list[Known]:
        return await find(
            broker, asked.settings, history_of(broker, asked.settings), wanted, roll=seen.roll, ledger_part=ledger.part
        )

    found = asked.observer.ask(look)
    is_kept = bool(asked.settings.values.history.keep)
    stories = [_story(known, asked, is_kept) for known in found[-SHOWN:]]
    return {
        "id": event_id,
        "key": key,
        "headline": _headline(found, wanted),
        "level": "good" if found else "wait",
        "stories": stories,
        "more": max(len(found) - SHOWN, 0),
        "attempts": [],
        "command": command("bridge-events", "show", *([event_id] if event_id else ["--key", key or ""])),
    }


def _newest(asked: Asked) -> dict[str, Any]:
    wanted = _filter(asked)

    async def look(broker: Broker) -> list[Entry]:
        return await newest(history_of(broker, asked.settings), wanted, LAST)

    found = asked.observer.ask(look)
    nothing = "The history is empty." if wanted == Filter() else "The history has no such attempt."
    return {
        "id": None,
        "key": None,
        "name": wanted.name,
        "queue": wanted.queue,
        "outcome": wanted.end,
        "outcomes": ENDS,
        "headline": "Which event?" if found else nothing,
        "level": "good",
        "stories": [],
        "more": 0,
        "attempts": [to_json(entry) for entry in reversed(found)],
        "command": command(
            *("bridge-events", "list", "--last", str(LAST), *option("--name", wanted.name)),
            *(*option("--queue", wanted.queue), *option("--outcome", wanted.end)),
        ),
    }


def _filter(asked: Asked) -> Filter:
    """Return which attempts the query selects. Raise `Unusable`."""
    name, queue, end = asked.text("name"), asked.text("queue"), asked.text("outcome")
    if end is not None and end not in ENDS:
        raise Unusable(f"outcome: expected one of {', '.join(ENDS)}, got {end!r:.60}")
    if name is not None:
        try:
            check_pattern(name)
        except ValueError as error:
            raise Unusable(f"name: {error}") from error
    return Filter(name=name, queue=queue, end=end)


def _story(known: Known, asked: Asked, is_kept: bool) -> dict[str, Any]:
    unknown = unknowns_of(known, is_kept=is_kept)
    if not asked.observer.seen().ledger_read:
        unknown.append("The ledger is still being read: dead letters and decisions may be missing here.")
    if asked.observer.ledger.forgets:
        unknown.append("Dead letters that were decided long ago are not shown here; bridge-events show has them.")
    decided = {decision.letter for decision in known.decisions}
    return {
        **to_document(known, asked.now, unknown),
        "deferred": iso(known.deferred),
        "running": bool(known.running),
        "letters": [_letter(letter, letter.number not in decided) for letter in known.letters],
    }


def _letter(letter: Dead, is_open: bool) -> dict[str, Any]:
    return {
        "number": letter.number,
        "open": is_open,
        "queue": letter.queue,
        "time": None if letter.time == UNKNOWN_TIME else iso(letter.time),
    }


def _headline(found: Sequence[Known], wanted: Wanted) -> str:
    if not found:
        return f"Nothing is known of an event with the {wanted}."
    return found[0].name or "An event" if len(found) == 1 else f"{len(found):,} events with the {wanted}."
