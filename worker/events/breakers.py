"""The breakers of a worker's queues: those of the settings, what the take loop asks them, and who is told when one
opens."""

from collections.abc import Callable, Mapping

from bridge.logger import log
from bridge.moments import BreakerClosed, BreakerOpened, Tell
from bridge.outcome import Outcome
from worker.events.breaker import Closed, Opened
from worker.events.queue_breaker import Change, QueueBreaker


class Breakers:
    """The breakers by queue. `on_change` is called with the queue whenever a breaker has opened or closed, and with the
    name of the events that it held (None: all); `on_closed` in the same way when one has closed. `on_due` is called
    when probes have become due before their time."""

    def __init__(self, by_queue: Mapping[str, QueueBreaker], tell: Tell, clock: Callable[[], float]) -> None:
        self.by_queue = by_queue
        self.on_change: Callable[[str, str | None], None] = _do_nothing
        self.on_closed: Callable[[str, str | None], None] = _do_nothing
        self.on_due: Callable[[], None] = _look_nowhere
        self._tell = tell
        self._clock = clock

    @property
    def held(self) -> frozenset[str]:
        """The queues that hold all their events now."""
        return frozenset(queue for queue, breaker in self.by_queue.items() if breaker.holds_all)

    def holds(self, queue: str, name: str) -> bool:
        """Return True if an event of this queue and name is held."""
        breaker = self.by_queue.get(queue)
        return breaker is not None and breaker.holding(name) is not None

    def holds_by_name(self, queue: str, name: str) -> bool:
        """Return True if an event of this queue is held because of its name, and others of the queue are not."""
        breaker = self.by_queue.get(queue)
        return breaker is not None and breaker.holds_by_name(name)

    def comes_back_in(self, queue: str, name: str) -> float | None:
        """Return the seconds after which a held event that leaves its place is looked at again; None if it is not
        held."""
        breaker = self.by_queue.get(queue)
        holding = None if breaker is None else breaker.holding(name)
        return None if holding is None else holding.comes_back_in(self._clock())

    def why(self, queue: str) -> str | None:
        """Return which events of a queue are held, and why, for people; None if none are."""
        breaker = self.by_queue.get(queue)
        return None if breaker is None else breaker.why(self._clock())

    def begins(self, queue: str, name: str, event: str) -> bool:
        """Note that an event begins. Return True if it is a probe."""
        breaker = self.by_queue.get(queue)
        return breaker is not None and breaker.begins(name, event)

    def left(self, queue: str, name: str, event: str) -> None:
        """Note that an event runs no more."""
        if (breaker := self.by_queue.get(queue)) is not None:
            breaker.left(name, event)

    def note(self, queue: str, name: str, event: str, outcome: Outcome) -> float | None:
        """Note the outcome of an event with this name and id. Return None if it is settled as any other, and the
        seconds after which it comes back if its failure spends no attempt, because it is held now."""
        breaker = self.by_queue.get(queue)
        if breaker is None:
            return None
        for change in breaker.note(name, event, outcome, self._clock()):
            self._report(queue, change)
        return self.comes_back_in(queue, name)

    def probe_at_once(self, queue: str, name: str | None = None) -> bool:
        """Make the probes of a queue due now, or that of the events with this name. Return True if any are held."""
        breaker = self.by_queue.get(queue)
        if breaker is None or not breaker.probe_at_once(name, self._clock()):
            return False
        self.on_due()
        return True

    def _report(self, queue: str, change: Change) -> None:
        name, what = change
        which = f"queue {queue}" if name is None else f"queue {queue}, events {name}"
        match what:
            case Opened(events=events, error=error):
                counted = "events" if name is not None or self.by_queue[queue].counts_events else "event names"
                log.warning(
                    "%s: %d %s in a row failed alike (%s: %s); they are held, and single events probe",
                    *(which, events, counted, error.type, error.message),
                )
                self._tell(BreakerOpened(queue, name, events, error))
            case Closed(seconds=seconds):
                log.info("%s: an event succeeded after %.1f s; its events run again", which, seconds)
                self._tell(BreakerClosed(queue, name, seconds))
                self.on_closed(queue, name)
        self.on_change(queue, name)


def _do_nothing(queue: str, name: str | None) -> None:
    """Do nothing when a breaker opens or closes."""


def _look_nowhere() -> None:
    """Do nothing when probes are due."""
