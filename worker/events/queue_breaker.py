"""The breakers of one queue in one worker: one for the events of each name, and one for all events of the queue. Pure.

A queue whose listeners need different services goes on with the names whose service is there. The breaker of the whole
queue is for services that many names need: it counts names, where the others count events. In a queue that is held as a
whole, because it is ordered or takes one name only, it counts events, and there is no other breaker.
"""

from typing import NamedTuple

from bridge.outcome import Outcome, Succeeded
from worker.events.breaker import Breaker, Closed, Opened

NAMES = 10
"""The fewest names in a row that open the breaker of the whole queue."""

NAMES_COUNTED = 1000
"""The most names whose failures are counted at a time."""

NAMES_SHOWN = 3
"""The most names that a sentence has."""


class Change(NamedTuple):
    """What a breaker has done: that of the events with this `name`, or of the whole queue (None)."""

    name: str | None
    change: Opened | Closed


class QueueBreaker:
    """The breakers of a queue, which open after `after` events in a row. `as_a_whole`: names do not count."""

    def __init__(self, after: int, *, as_a_whole: bool = False) -> None:
        self._after = after
        self._as_a_whole = as_a_whole
        self._whole = Breaker(after) if as_a_whole else Breaker(max(after, NAMES), what="event name")
        self.by_name: dict[str, Breaker] = {}
        """The breakers of the names of which an event has failed since the last one that succeeded."""

    @property
    def holds_all(self) -> bool:
        """True while the whole queue holds its events."""
        return self._whole.is_open

    @property
    def counts_events(self) -> bool:
        """True if the breaker of the whole queue counts events, False if it counts names."""
        return self._as_a_whole

    @property
    def open(self) -> list[Breaker]:
        """The breakers that are open, that of the whole queue first."""
        return [breaker for breaker in (self._whole, *self.by_name.values()) if breaker.is_open]

    @property
    def opened(self) -> list[tuple[str | None, Opened]]:
        """Why each of these has opened, with the name of the events that it holds (None: all)."""
        breakers = ((None, self._whole), *self.by_name.items())
        return [(name, breaker.opened) for name, breaker in breakers if breaker.opened is not None]

    def holding(self, name: str | None) -> Breaker | None:
        """Return the breaker that holds the events of this name now (None: all events), None if they may begin."""
        if self._whole.is_open:
            return self._whole
        breaker = None if name is None else self.by_name.get(name)
        return breaker if breaker is not None and breaker.is_open else None

    def holds_by_name(self, name: str) -> bool:
        """Return True if the events of this name are held, and others of the queue are not."""
        return not self._whole.is_open and self.holding(name) is not None

    def note(self, name: str, event: str, outcome: Outcome, now: float) -> list[Change]:
        """Note the outcome of an event with this name and id; return what the breakers do because of it."""
        if self._as_a_whole:
            return _changes((None, self._whole.note(event, outcome, now)))
        of_all = self._whole.note(event, outcome, now, counts_as=name)
        of_name = self._of_name(name).note(event, outcome, now) if name in self.by_name or _fails(outcome) else None
        if name in self.by_name and self.by_name[name].is_new:
            del self.by_name[name]
        return _changes((None, of_all), (name, of_name))

    def begins(self, name: str, event: str) -> bool:
        """Note that an event begins. Return True if it is a probe, because the events with its name are held."""
        holding = self.holding(name)
        if holding is not None:
            holding.begins(event)
        return holding is not None

    def left(self, name: str, event: str) -> None:
        """Note that an event runs no more, with or without an outcome."""
        self._whole.left(event)
        if (of_name := self.by_name.get(name)) is not None:
            of_name.left(event)

    def probe_at_once(self, name: str | None, now: float) -> bool:
        """Make the next probe of the events with this name (None: of all) due now. Return False if none are held."""
        holding = self.open if name is None else [each for each in [self.holding(name)] if each is not None]
        for breaker in holding:
            breaker.probe_at_once(now)
        return bool(holding)

    def open_as_told(self, name: str | None, opened: Opened, now: float) -> list[Change]:
        """Hold the events with this name (None: all), as another worker does; return what the breaker does."""
        name = None if self._as_a_whole else name
        breaker = self._whole if name is None else self._of_name(name)
        return _changes((name, breaker.open_as_told(opened, now)))

    def close_as_told(self, name: str | None, worker: str, now: float) -> list[Change]:
        """Note that a breaker of another worker has closed; return what the one for the same events does."""
        name = None if self._as_a_whole else name
        breaker = self._whole if name is None else self.by_name.get(name)
        closed = None if breaker is None else breaker.close_as_told(worker, now)
        if closed is not None and name is not None:
            del self.by_name[name]
        return _changes((name, closed))

    def why(self, now: float) -> str | None:
        """Return which events are held, why, and when they are probed next, for people; None if none are."""
        sentences = [breaker.why(now) for breaker in self.open]
        more = len(sentences) - NAMES_SHOWN
        shown = sentences[:NAMES_SHOWN] + ([f"{more} more names are held"] if more > 0 else [])
        return "; ".join(shown) or None

    def _of_name(self, name: str) -> Breaker:
        found = self.by_name.get(name)
        if found is None:
            if len(self.by_name) >= NAMES_COUNTED:
                self._forget_one()
            found = self.by_name[name] = Breaker(self._after, f"the breaker of {name}")
        return found

    def _forget_one(self) -> None:
        """Forget the failures of the name that has been counted for the longest time, and is not held if possible."""
        closed = (name for name, breaker in self.by_name.items() if not breaker.is_open)
        del self.by_name[next(closed, next(iter(self.by_name)))]


def _fails(outcome: Outcome) -> bool:
    """Return False for most outcomes, which make no breaker for a name that has none."""
    return not isinstance(outcome, Succeeded)


def _changes(*noted: tuple[str | None, Opened | Closed | None]) -> list[Change]:
    return [Change(name, change) for name, change in noted if change is not None]
