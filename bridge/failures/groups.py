"""Groups of failures: the open dead letters and the events that are still retrying, by the fingerprint of the error."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TypeVar

from bridge.event import UNKNOWN_TIME
from bridge.failures.fingerprint import Fingerprint
from bridge.history import Entry
from bridge.ledger import Dead, span

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """All failures with one fingerprint, each list oldest first. `retrying` has the last attempt of each event."""

    fingerprint: Fingerprint
    dead: Sequence[Dead]
    retrying: Sequence[Entry]

    @property
    def id(self) -> str:
        """The id of the fingerprint, which names the group."""
        return self.fingerprint.id

    @property
    def count(self) -> int:
        """The number of failures, dead and retrying."""
        return len(self.dead) + len(self.retrying)

    @property
    def first_and_last(self) -> tuple[datetime, datetime]:
        """The times of the oldest and the newest failure; `UNKNOWN_TIME` twice if no time is known."""
        return span([*(each.time for each in self.dead), *(each.time for each in self.retrying)])

    @property
    def queues(self) -> Mapping[str, int]:
        """The number of failures by queue, the most frequent first. An unroutable event has the queue ``""``."""
        return _counted([*(each.queue for each in self.dead), *(each.queue for each in self.retrying)])

    @property
    def events(self) -> Mapping[str, int]:
        """The number of failures by event name, the most frequent first."""
        return _counted([*(each.event_name for each in self.dead), *(each.name for each in self.retrying)])

    @property
    def releases(self) -> Mapping[str | None, int]:
        """The number of failures by release, the most frequent first. None counts those without a release."""
        return _counted([*(each.release for each in self.dead), *(each.release for each in self.retrying)])

    @property
    def next_attempt(self) -> datetime | None:
        """The earliest time at which one of the retrying events is due again; None if there is none."""
        return min((each.due for each in self.retrying if each.due is not None), default=None)


def failure_groups(dead: Iterable[Dead], retrying: Iterable[Entry]) -> list[FailureGroup]:
    """Return the groups of these failures, the largest first. A letter that is not believed counts in a group like any
    other. Attempts without an error are left out, and those of events that have died since: the history has the last
    attempt some time after the ledger has the letter."""
    letters: dict[Fingerprint, list[Dead]] = {}
    for letter in dead:
        letters.setdefault(letter.fingerprint, []).append(letter)
    return groups_of(letters, retrying)


def groups_of(letters: Mapping[Fingerprint, Sequence[Dead]], retrying: Iterable[Entry]) -> list[FailureGroup]:
    """Return the groups as `failure_groups` does, of letters whose fingerprints are known already."""
    attempts: dict[Fingerprint, list[Entry]] = {}
    for attempt in _not_dead(retrying, letters):
        if (fingerprint := attempt.fingerprint) is not None:
            attempts.setdefault(fingerprint, []).append(attempt)
    found = [FailureGroup(each, letters.get(each, ()), attempts.get(each, ())) for each in {**letters, **attempts}]
    return sorted(found, key=lambda group: (-group.count, _newest_first(group), group.id))


def _not_dead(retrying: Iterable[Entry], letters: Mapping[Fingerprint, Sequence[Dead]]) -> Iterable[Entry]:
    last = {(attempt.id, attempt.queue): attempt for attempt in retrying}
    for letter in chain.from_iterable(letters.values()) if last else ():
        if (attempt := last.get((letter.event_id, letter.queue))) is not None and attempt.time <= letter.time:
            del last[attempt.id, attempt.queue]
    return last.values()


def _newest_first(group: FailureGroup) -> float:
    last = group.first_and_last[1]
    return 0.0 if last == UNKNOWN_TIME else -last.astimezone(UTC).timestamp()


def _counted(values: Iterable[T]) -> Mapping[T, int]:
    return dict(Counter(values).most_common())
