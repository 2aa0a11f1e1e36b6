"""The breakers of a worker's queues: those of the settings, what the gate asks them, and who is told when one opens."""

from collections.abc import Callable, Mapping

from bridge.logger import log
from bridge.moments import BreakerClosed, BreakerOpened, Tell
from bridge.outcome import Outcome
from worker.events.breaker import Breaker, Closed, Opened


class Breakers:
    """The breakers by queue. `after` has the number of events for each queue that has a breaker. `on_change` is called
    with the queue whenever its breaker has opened or closed."""

    def __init__(self, after: Mapping[str, int], tell: Tell, clock: Callable[[], float]) -> None:
        self.by_queue = {queue: Breaker(events) for queue, events in after.items()}
        self.on_change: Callable[[str], None] = _do_nothing
        self._tell = tell
        self._clock = clock

    @property
    def held(self) -> frozenset[str]:
        """The queues that hold their events now."""
        return frozenset(queue for queue, breaker in self.by_queue.items() if breaker.is_open)

    def why(self, queue: str) -> str | None:
        """Return why the breaker of a queue holds its events, for people; None if it is closed, or there is none."""
        breaker = self.by_queue.get(queue)
        return breaker.why(self._clock()) if breaker is not None and breaker.is_open else None

    def note(self, queue: str, event: str, outcome: Outcome) -> None:
        """Note the outcome of an event of a queue."""
        breaker = self.by_queue.get(queue)
        if breaker is None:
            return
        match breaker.note(event, outcome, self._clock()):
            case Opened(events=events, error=error):
                log.warning(
                    "queue %s: %d events in a row failed alike (%s: %s); the queue holds its events, and single events "
                    "probe it",
                    *(queue, events, error.type, error.message),
                )
                self._tell(BreakerOpened(queue, events, error))
                self.on_change(queue)
            case Closed(seconds=seconds):
                log.info("queue %s: an event succeeded after %.1f s; its events run again", queue, seconds)
                self._tell(BreakerClosed(queue, seconds))
                self.on_change(queue)


def _do_nothing(queue: str) -> None:
    """Do nothing when a breaker opens or closes."""
