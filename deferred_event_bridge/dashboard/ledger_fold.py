"""The open dead letters by their fingerprint, and what became of redrives: a fold over the entries of the ledger.

One thread adds entries, other threads read: each method holds a lock for a short time.
"""

import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge.brokers.contract.ledger import BEFORE_ALL
from bridge.failures.fingerprint import Fingerprint
from bridge.failures.releases import Releases
from bridge.ledger import ERASED, ERASED_NOTE, Dead, Decision, Discarded, Entry, Redriven, Skipped
from dead_letter.choosing import History
from worker.history.finding import LedgerPart, Wanted

SAME_REDRIVE = timedelta(hours=1)
"""Decisions of one person with one note belong to one redrive if no longer time is between two of them."""

REDRIVES_KEPT = 100

CLOSED_KEPT = 100_000
"""Letters that are decided, of which the entries are kept: the last ones."""


@dataclass(slots=True)
class RedriveSeen:
    """The redriven letters of one person with one note. `again` counts those whose event died again since."""

    actor: str
    note: str
    began: datetime
    last: datetime
    count: int = 0
    again: int = 0
    events: set[str] = field(default_factory=set, repr=False)


class LedgerFold:
    """The fold. `last` is the number of the last entry that was added; `skipped` counts records that do not count."""

    def __init__(self) -> None:
        self.last = BEFORE_ALL
        self.skipped = 0
        self.releases = Releases()
        self._lock = threading.Lock()
        self._groups: dict[Fingerprint, dict[int, Dead]] = {}
        self._open: dict[int, Dead] = {}
        self._redrives: list[RedriveSeen] = []
        self._redriven: dict[str, RedriveSeen] = {}
        self._of_event: dict[str, list[Dead]] = {}
        self._decisions: dict[int, list[Decision]] = {}
        self._closed: dict[int, Dead] = {}

    def add(self, entries: Iterable[Entry]) -> None:
        """Add the next entries of the ledger, oldest first."""
        with self._lock:
            for entry in entries:
                self._add(entry)
                self.last = entry.number

    def total(self) -> int:
        """Return the number of open letters."""
        return len(self._open)

    def letter(self, number: int) -> Dead | None:
        """Return the open letter with this number; None if there is none."""
        return self._open.get(number)

    def history(self, number: int) -> History | None:
        """Return an open or decided letter with the decisions about it; None if it is not known, or not any more."""
        with self._lock:
            letter = self._open.get(number) or self._closed.get(number)
            return None if letter is None else History(letter, list(self._decisions.get(number, ())))

    def groups(self) -> dict[Fingerprint, list[Dead]]:
        """Return the open letters by fingerprint, each list oldest first."""
        with self._lock:
            return {fingerprint: list(letters.values()) for fingerprint, letters in self._groups.items()}

    def letters(self, group: str | None = None, *, through: int | None = None) -> list[Dead]:
        """Return the open letters, oldest first: those of one group, and none with a number above `through`."""
        with self._lock:
            if group is None:
                found = list(self._open.values())
            else:
                groups = [each for fingerprint, each in self._groups.items() if fingerprint.id == group]
                found = [letter for letters in groups for letter in letters.values()]
        return found if through is None else [letter for letter in found if letter.number <= through]

    def forget_message(self, number: int) -> None:
        """Forget the error's message of a letter that was erased after it was decided."""
        with self._lock:
            found = self._closed.get(number)
            if found is not None:
                self._erase(found)

    def part(self, wanted: Wanted, ids: Collection[str]) -> LedgerPart:
        """Return the letters of some events and the decisions about them, as `finding.find` needs them."""
        with self._lock:
            known = [each for each in ids if each in self._of_event]
            if wanted.ending is not None:
                exact = wanted.ending in self._of_event
                known += [wanted.ending] if exact else [each for each in self._of_event if wanted.names(each)]
            found = sorted(
                (letter for each in {*known} for letter in self._of_event[each]), key=lambda letter: letter.number
            )
            letters = {letter.number: letter for letter in found}
            return LedgerPart(letters, [each for number in letters for each in self._decisions.get(number, ())])

    @property
    def forgets(self) -> bool:
        """True if letters were decided that are not kept any more."""
        return len(self._closed) == CLOSED_KEPT

    def since(self, time: datetime) -> int:
        """Return the number of open letters that died after this time."""
        with self._lock:
            return sum(_newer(letters, time) for letters in self._groups.values())

    def redrives(self) -> list[RedriveSeen]:
        """Return the newest redrives, the newest first."""
        with self._lock:
            return [
                RedriveSeen(each.actor, each.note, each.began, each.last, each.count, each.again)
                for each in reversed(self._redrives)
            ]

    def _add(self, entry: Entry) -> None:
        match entry:
            case Dead():
                fingerprint = entry.fingerprint
                self._groups.setdefault(fingerprint, {})[entry.number] = entry
                self._open[entry.number] = entry
                self._of_event.setdefault(entry.event_id, []).append(entry)
                self.releases.add(entry.release, entry.time)
                if (redrive := self._redriven.pop(entry.event_id, None)) is not None:
                    redrive.again += 1
            case Redriven():
                letter = self._close(entry)
                if letter is not None:
                    self._note_redrive(entry, letter)
            case Discarded():
                letter = self._close(entry)
                if letter is not None and entry.note.startswith(ERASED_NOTE):
                    self._erase(letter)
            case Skipped():
                self.skipped += 1

    def _close(self, decision: Decision) -> Dead | None:
        number = decision.letter
        if number in self._open or number in self._decisions:
            self._decisions.setdefault(number, []).append(decision)
        letter = self._open.pop(number, None)
        if letter is None:
            return None
        letters = self._groups[letter.fingerprint]
        del letters[number]
        if not letters:
            del self._groups[letter.fingerprint]
        self._closed[number] = letter
        if len(self._closed) > CLOSED_KEPT:
            self._forget(self._closed.pop(next(iter(self._closed))))
        return letter

    def _erase(self, letter: Dead) -> None:
        erased = replace(letter, error_message=ERASED)
        self._closed[letter.number] = erased
        letters = self._of_event[letter.event_id]
        letters[:] = [erased if each.number == letter.number else each for each in letters]

    def _forget(self, letter: Dead) -> None:
        del self._decisions[letter.number]
        left = [each for each in self._of_event[letter.event_id] if each.number != letter.number]
        if left:
            self._of_event[letter.event_id] = left
        else:
            del self._of_event[letter.event_id]

    def _note_redrive(self, entry: Redriven, letter: Dead) -> None:
        redrive = next(
            (
                each
                for each in reversed(self._redrives)
                if (each.actor, each.note) == (entry.actor, entry.note) and entry.time - each.last <= SAME_REDRIVE
            ),
            None,
        )
        if redrive is None:
            redrive = RedriveSeen(entry.actor, entry.note, entry.time, entry.time)
            self._redrives.append(redrive)
            for event in _dropped(self._redrives):
                self._redriven.pop(event, None)
        redrive.count += 1
        redrive.last = entry.time
        redrive.events.add(letter.event_id)
        self._redriven[letter.event_id] = redrive


def _dropped(redrives: list[RedriveSeen]) -> Iterator[str]:
    """Remove the oldest redrives beyond `REDRIVES_KEPT`; yield the ids of their events."""
    while len(redrives) > REDRIVES_KEPT:
        yield from redrives.pop(0).events


def _newer(letters: dict[int, Dead], time: datetime) -> int:
    """Count the letters at the end of a group that died after this time."""
    count = 0
    for letter in reversed(letters.values()):
        if letter.time <= time:
            break
        count += 1
    return count
