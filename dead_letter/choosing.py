"""Selects dead letters by number, by the end of an id, or by a filter. Reads the ledger; never writes to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bridge.brokers.contract.ledger import BEFORE_ALL, Ledger
from bridge.errors import BridgeError
from bridge.ledger import Dead, Decision, Filter, Skipped

NOT_SELECTED = "a letter without a valid signature (ledger_key), which is not believed: name it by number to redrive it"

WAS_CANCELLED = "a letter of a cancelled event: name it by number to redrive it"


class NotOneLetter(BridgeError):
    """A number or an id's end names no dead letter, or several: the `candidates`."""

    def __init__(self, message: str, candidates: Sequence["History"] = ()) -> None:
        super().__init__(message)
        self.candidates = [history.letter for history in candidates]


@dataclass(frozen=True, slots=True)
class History:
    """A dead letter and the decisions about it, oldest first."""

    letter: Dead
    decisions: list[Decision] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """True if the letter waits for a decision."""
        return not self.decisions


@dataclass(frozen=True, slots=True)
class Choice:
    """The selected letters: the open ones, oldest first, and those that were named but are decided already. `skipped`
    are the records of the whole ledger that count neither as letters nor as decisions."""

    letters: list[Dead]
    decided: list[History] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


class LetterReader:
    """Reads the ledger once, entry by entry, and selects letters by a filter, or by numbers and ids.

    With `for_redrive`, a filter selects neither letters that are not believed nor those of cancelled events; they are
    among `Choice.skipped`.
    The filter's ages count from `now`. A reader with a filter holds only the selected open letters in memory.
    """

    def __init__(self, wanted: Filter | Iterable[str], now: datetime, *, for_redrive: bool = False) -> None:
        self._for_redrive = for_redrive and isinstance(wanted, Filter)
        self._selection = _Filtered(wanted, now) if isinstance(wanted, Filter) else _Named(wanted)
        self._skipped: dict[int, Skipped] = {}
        self._last = BEFORE_ALL

    async def read_new(self, ledger: Ledger) -> Choice:
        """Read the entries that are new since the last call, and return the letters that are selected now. The first
        call reads all entries. Raise `NotOneLetter` as `find` does."""
        async for entry in ledger.entries(self._last):
            if isinstance(entry, Skipped):
                self._skipped[entry.number] = entry
            elif isinstance(entry, Dead) and self._for_redrive and not entry.believed:
                self._skipped[entry.number] = Skipped(entry.number, NOT_SELECTED)
            elif self._for_redrive and isinstance(entry, Dead) and entry.reason == "cancelled":
                self._skipped[entry.number] = Skipped(entry.number, WAS_CANCELLED)
            else:
                self._skipped.pop(getattr(entry, "letter", -1), None)
                self._selection.add(entry)
            self._last = entry.number
        return replace(self._selection.choice(), skipped=list(self._skipped.values()))


async def find(ledger: Ledger, references: Iterable[str]) -> dict[str, History]:
    """Return the letter that each reference names: a number, else the end of an event's id.

    If several letters have the id, the open one is returned. Raise `NotOneLetter` for no letter, and for several.
    """
    named = _Named(references)
    async for entry in ledger.entries():
        if not isinstance(entry, Skipped):
            named.add(entry)
    return named.histories()


class _Filtered:
    """The open letters that match a filter, oldest first."""

    def __init__(self, wanted: Filter, now: datetime) -> None:
        self._wanted = wanted
        self._now = now
        self._letters: dict[int, Dead] = {}

    def add(self, entry: Dead | Decision) -> None:
        if not isinstance(entry, Dead):
            self._letters.pop(entry.letter, None)
        elif self._wanted.takes(entry, self._now):
            self._letters[entry.number] = entry

    def choice(self) -> Choice:
        return Choice(list(self._letters.values()))


class _Named:
    """The letters that numbers and ids' ends may name, and the decisions about them."""

    def __init__(self, references: Iterable[str]) -> None:
        self._ends = {reference: _bare(reference) for reference in references}
        self._numbers = set(self._ends.values())
        self._suffixes = tuple(self._numbers)
        self._histories: dict[int, History] = {}

    def add(self, entry: Dead | Decision) -> None:
        if not isinstance(entry, Dead):
            if entry.letter in self._histories:
                self._histories[entry.letter].decisions.append(entry)
        elif str(entry.number) in self._numbers or entry.event_id.casefold().endswith(self._suffixes):
            self._histories[entry.number] = History(entry)

    def histories(self) -> dict[str, History]:
        candidates = list(self._histories.values())
        return {reference: _pick(candidates, reference, end) for reference, end in self._ends.items()}

    def choice(self) -> Choice:
        found = {history.letter.number: history for history in self.histories().values()}
        histories = [found[number] for number in sorted(found)]
        return Choice(
            [history.letter for history in histories if history.open],
            [history for history in histories if not history.open],
        )


def _pick(histories: Sequence[History], reference: str, end: str) -> History:
    numbered = [history for history in histories if str(history.letter.number) == end]
    ended = [history for history in histories if history.letter.event_id.casefold().endswith(end)]
    found = numbered or [history for history in ended if history.open] or ended
    if not found:
        raise NotOneLetter(f"{reference}: no dead letter has this number, or an id with this end")
    if len(found) > 1:
        state = "open" if found[0].open else "decided"
        raise NotOneLetter(f"{reference}: {len(found):,} {state} dead letters have an id with this end", found)
    return found[0]


def _bare(reference: str) -> str:
    """Return the reference in the form that is compared: without the `…` that lists print before an id's end, and the
    `...` that stands for it on some terminals."""
    bare = reference.strip().lstrip("….").casefold()
    if not bare:
        raise NotOneLetter(f"{reference!r}: expected a number, or the end of an id")
    return bare
