"""The breakers of a worker's queues: those of the settings, what the take loop asks them, who is told when one opens,
and what they do when another worker tells."""

from collections.abc import Callable, Iterable, Mapping

from bridge.logger import log
from bridge.moments import BreakerClosed, BreakerOpened, Tell
from bridge.outcome import Outcome
from worker.events.breaker import Closed, Opened, where_of
from worker.events.queue_breaker import Change, QueueBreaker


class Breakers:
    """The breakers by queue. `on_change` is called with the queue whenever a breaker has opened or closed, and with the
    name of the events that it holds or held (None: all); `on_news` with the queue and the change, unless another worker
    told of it. `on_due` is called when probes have become due before their time."""

    def __init__(self, by_queue: Mapping[str, QueueBreaker], tell: Tell, clock: Callable[[], float]) -> None:
        self.by_queue = by_queue
        self.on_change: Callable[[str, str | None], None] = _do_nothing
        self.on_news: Callable[[str, Change], None] = _tell_no_worker
        self.on_due: Callable[[], None] = _look_nowhere
        self._tell = tell
        self._clock = clock

    @property
    def held(self) -> frozenset[str]:
        """The queues that hold all their events now."""
        return frozenset(queue for queue, breaker in self.by_queue.items() if breaker.holds_all)

    @property
    def opened(self) -> list[tuple[str, str | None, Opened]]:
        """The queue and the name (None: all) of the events that are held, and why."""
        return [(queue, *opened) for queue, breaker in self.by_queue.items() for opened in breaker.opened]

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
        self._report(queue, breaker.note(name, event, outcome, self._clock()))
        return self.comes_back_in(queue, name)

    def probe_at_once(self, queue: str, name: str | None = None) -> bool:
        """Make the probes of a queue due now, or that of the events with this name. Return True if any are held."""
        breaker = self.by_queue.get(queue)
        if breaker is None or not breaker.probe_at_once(name, self._clock()):
            return False
        self.on_due()
        return True

    def open_as_told(self, queue: str, name: str | None, opened: Opened) -> None:
        """Hold the events of a queue with this name (None: all), as another worker does."""
        if (breaker := self.by_queue.get(queue)) is not None:
            self._report(queue, breaker.open_as_told(name, opened, self._clock()))

    def close_as_told(self, queue: str, name: str | None, worker: str) -> None:
        """Note that a breaker of another worker has closed."""
        if (breaker := self.by_queue.get(queue)) is not None:
            self._report(queue, breaker.close_as_told(name, worker, self._clock()))

    def _report(self, queue: str, changes: Iterable[Change]) -> None:
        for change in changes:
            self._report_one(queue, change)
            self.on_change(queue, change.name)
            if change.change.worker is None:
                self.on_news(queue, change)

    def _report_one(self, queue: str, change: Change) -> None:
        name, what = change
        which = f"queue {queue}" if name is None else f"queue {queue}, events {name}"
        match what:
            case Opened(events=events, error=error):
                counted = "events" if name is not None or self.by_queue[queue].counts_events else "event names"
                log.warning(
                    "%s: %d %s in a row failed alike%s (%s: %s); they are held, and single events probe",
                    *(which, events, counted, where_of(what), error.type, error.message),
                )
                self._tell(BreakerOpened(queue, name, events, error))
            case Closed(seconds=seconds):
                log.info("%s: an event succeeded%s after %.1f s; its events run again", which, where_of(what), seconds)
                self._tell(BreakerClosed(queue, name, seconds))


def _do_nothing(queue: str, name: str | None) -> None:
    """Do nothing when a breaker opens or closes."""


def _tell_no_worker(queue: str, change: Change) -> None:
    """Do nothing when a breaker of this worker opens or closes."""


def _look_nowhere() -> None:
    """Do nothing when probes are due."""
