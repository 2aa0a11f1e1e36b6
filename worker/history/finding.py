"""Finds all that is known about the events that an id, the end of an id, or a key names."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge.brokers.any_broker.history_reading import (
    MOST_OF_AN_EVENT,
    SLACK,
    deferred_at,
    newest,
    of_event,
    oldest_time,
)
from bridge.brokers.any_broker.roll_call import ask_site
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.logs import Log
from bridge.cancellations import Cancellation
from bridge.config.settings import Settings
from bridge.history import Entry, Filter
from bridge.ledger import Dead, Discarded, Redriven, Skipped
from bridge.registry import Roll
from worker.control.controls_log import ControlsLog
from worker.history.story import Known, Running


@dataclass(frozen=True, slots=True)
class Wanted:
    """The events that a person asks for: by an id or its end, or by a key. Exactly one is not None."""

    ending: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        return f"key '{self.key}'" if self.ending is None else f"id '{self.ending}'"

    def names(self, event_id: str, key: str | None = None) -> bool:
        """Return whether an event with this id and this key is wanted."""
        return event_id.endswith(self.ending) if self.ending is not None else key == self.key


@dataclass(frozen=True, slots=True)
class LedgerPart:
    """The letters of the wanted events by number, oldest first, and the decisions about them."""

    letters: Mapping[int, Dead]
    decisions: Sequence[Redriven | Discarded]


async def attempts_of(log: Log, wanted: Wanted) -> list[Entry]:
    """Return the attempts of the wanted events, oldest first."""
    if wanted.ending is not None:
        return await of_event(log, wanted.ending)
    return await newest(log, Filter(key=wanted.key), MOST_OF_AN_EVENT)


async def find(
    broker: Broker,
    settings: Settings,
    log: Log,
    wanted: Wanted,
    *,
    roll: Roll | None = None,
    ledger_part: Callable[[Wanted, Collection[str]], LedgerPart] | None = None,
) -> list[Known]:
    """Return what is known of each wanted event, the oldest id first. Without a trace of an event whose whole id is
    known, that event is returned all the same.

    The workers are asked what they run, unless their `roll` is given. The ledger is read, unless `ledger_part` returns
    its part about the wanted events and those with the given ids.
    """
    entries = await attempts_of(log, wanted)
    ids = {entry.id for entry in entries}
    seen, since = await asyncio.gather(_roll(broker, roll), oldest_time(log))
    running = _running(seen)
    ledger = await _ledger(broker, wanted, ids) if ledger_part is None else ledger_part(wanted, ids)
    controls = ControlsLog(broker, settings.values.namespace, settings.ledger_keys())
    cancellations = await _cancellations(controls, wanted, ids)
    await controls.read_controls()
    pauses = controls.controls.pauses(datetime.now(UTC))
    ids |= {letter.event_id for letter in ledger.letters.values()}
    ids |= {each.event for each in cancellations}
    ids |= {each.slot.id for each in running if each.slot.id is not None and wanted.names(each.slot.id)}
    if not ids and wanted.ending is not None and deferred_at(wanted.ending) is not None:
        ids = {wanted.ending}
    return [
        Known(
            id=event_id,
            deferred=deferred_at(event_id),
            entries=[entry for entry in entries if entry.id == event_id],
            letters=(letters := [each for each in ledger.letters.values() if each.event_id == event_id]),
            decisions=[each for each in ledger.decisions if each.letter in {letter.number for letter in letters}],
            running=[each for each in running if each.slot.id == event_id],
            history_since=since,
            cancellations=[each for each in cancellations if each.event == event_id],
            pauses=pauses,
            silent=seen.missing,
        )
        for event_id in sorted(ids)
    ]


async def _ledger(broker: Broker, wanted: Wanted, ids: Collection[str]) -> LedgerPart:
    """Read the ledger back from its end, and only to the time at which the event was deferred, if its id tells that."""
    deferred = None if wanted.ending is None else deferred_at(wanted.ending)
    letters: dict[int, Dead] = {}
    decisions: list[Redriven | Discarded] = []
    async with aclosing(broker.ledger().entries_back()) as entries:
        async for entry in entries:
            match entry:
                case Dead() if entry.event_id in ids or wanted.names(entry.event_id):
                    letters[entry.number] = entry
                case Redriven() | Discarded():
                    decisions.append(entry)
            if deferred is not None and not isinstance(entry, Skipped) and deferred - entry.time > SLACK:
                break
    in_order = dict(sorted(letters.items()))
    return LedgerPart(in_order, [each for each in reversed(decisions) if each.letter in in_order])


async def _cancellations(controls: ControlsLog, wanted: Wanted, ids: Collection[str]) -> list[Cancellation]:
    found: list[Cancellation] = []
    async with aclosing(controls.log_of_cancellations.read_back(wanted.ending or "")) as records:
        async for record in records:
            cancellation = controls.take_cancellation(record)
            if cancellation is not None and (cancellation.event in ids or wanted.names(cancellation.event)):
                found.append(cancellation)
    return found


async def _roll(broker: Broker, roll: Roll | None) -> Roll:
    return roll or await ask_site(broker)


def _running(roll: Roll) -> list[Running]:
    return [Running(worker, slot) for worker in roll.workers for slot in worker.slots if slot.id is not None]
