"""Choosing dead letters, by number, by the end of an id, or by a filter. Reads the ledger; never writes to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from bridge.brokers.contract import Ledger
from bridge.errors import BridgeError
from bridge.ledger import Dead, Decision, Entry, Filter, open_letters

FOLD_AT_LEAST = 10_000


class NotOneLetter(BridgeError):
    """A number or an id's end names no dead letter, or more than one: then these are the `candidates`."""

    def __init__(self, message: str, candidates: Sequence["History"] = ()) -> None:
        super().__init__(message)
        self.candidates = [history.letter for history in candidates]


@dataclass(frozen=True, slots=True)
class History:
    """A dead letter and what was decided about it, oldest first."""

    letter: Dead
    decisions: list[Decision] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Whether nobody has decided about it."""
        return not self.decisions


@dataclass(frozen=True, slots=True)
class Choice:
    """What a choice came to: the open letters, oldest first, and those that were named but are decided already."""

    letters: list[Dead]
    decided: list[History] = field(default_factory=list)


async def open_now(ledger: Ledger, wanted: Filter, now: datetime) -> list[Dead]:
    """Return the open letters that the filter takes, oldest first. Holds about twice of them in memory at most,
    however many the ledger has of others, and of decided ones."""
    letters: dict[int, Dead] = {}
    batch: list[Entry] = []
    async for entry in ledger.entries():
        if not isinstance(entry, Dead) or wanted.takes(entry, now):
            batch.append(entry)
            if len(batch) >= max(FOLD_AT_LEAST, len(letters)):
                letters = open_letters(chain(letters.values(), batch))
                batch.clear()
    return list(open_letters(chain(letters.values(), batch)).values())


async def find(ledger: Ledger, references: Iterable[str]) -> dict[str, History]:
    """Return the one letter that each reference names: a number, else the end of an event's id. Where several
    letters are of that end, the open one is meant. Raise `NotOneLetter` where none is, or more than one."""
    ends = {reference: _bare(reference) for reference in references}
    histories = await _histories(ledger, set(ends.values()))
    return {reference: _pick(histories, reference, end) for reference, end in ends.items()}


async def choose(ledger: Ledger, wanted: Filter | Sequence[str], now: datetime) -> Choice:
    """Return the letters that a filter, or numbers and ids, mean now. Raise `NotOneLetter` as `find` does."""
    if isinstance(wanted, Filter):
        return Choice(await open_now(ledger, wanted, now))
    found = {history.letter.number: history for history in (await find(ledger, wanted)).values()}
    histories = [found[number] for number in sorted(found)]
    return Choice(
        [history.letter for history in histories if history.open],
        [history for history in histories if not history.open],
    )


async def _histories(ledger: Ledger, ends: set[str]) -> list[History]:
    found: dict[int, History] = {}
    suffixes = tuple(ends)
    async for entry in ledger.entries():
        if not isinstance(entry, Dead):
            if entry.letter in found:
                found[entry.letter].decisions.append(entry)
        elif str(entry.number) in ends or entry.event_id.casefold().endswith(suffixes):
            found[entry.number] = History(entry)
    return list(found.values())


def _pick(histories: Sequence[History], reference: str, end: str) -> History:
    numbered = [history for history in histories if str(history.letter.number) == end]
    ended = [history for history in histories if history.letter.event_id.casefold().endswith(end)]
    meant = numbered or [history for history in ended if history.open] or ended
    if not meant:
        raise NotOneLetter(f"{reference}: no dead letter has this number, or an id that ends so")
    if len(meant) > 1:
        state = "open" if meant[0].open else "decided"
        raise NotOneLetter(f"{reference}: {len(meant):,} {state} dead letters have an id that ends so", meant)
    return meant[0]


def _bare(reference: str) -> str:
    """Return the reference as it is compared: lists print the end of an id after a `…`."""
    bare = reference.strip().lstrip("…").casefold()
    if not bare:
        raise NotOneLetter(f"{reference!r}: expected a number, or the end of an id")
    return bare
