"""The breaker of a queue: while what its events need is away, the queue holds them, and one event at a time probes
whether it is back. Arithmetic only; the caller keeps time.

    closed --(`after` events in a row fail alike)--> open --(an event succeeds)--> closed

Events that fail differently, or one event that fails again and again, do not open it. A rejection, a snooze or an
expiry says nothing about it.
"""

from dataclasses import dataclass
from math import ceil, inf

from bridge.attempt import Error
from bridge.back_off import BackOff
from bridge.brokers.contract.findings import counted
from bridge.failures.fingerprint import Fingerprint, fingerprint_of, place_of
from bridge.outcome import Crashed, Failed, Outcome, Overloaded, Succeeded, TimedOut

PROBES = BackOff(first=1.0, at_most=60.0, jitter=0.0)
"""The seconds between two probes."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The breaker has opened, after this many events in a row that failed with `error`."""

    events: int
    error: Error


@dataclass(frozen=True, slots=True)
class Closed:
    """The breaker has closed, after it was open for these seconds."""

    seconds: float


class Breaker:
    """The breaker of one queue in one worker. It opens after `after` different events in a row that fail alike."""

    def __init__(self, after: int) -> None:
        self._after = after
        self._cause: Fingerprint | None = None
        self._failed: set[str] = set()
        self._opened_at: float | None = None
        self._probes = 0
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """True while the queue holds its events."""
        return self._opened_at is not None

    def note(self, event: str, outcome: Outcome, now: float) -> Opened | Closed | None:
        """Note the outcome of the event with this id; return what the breaker does because of it."""
        match outcome:
            case Succeeded():
                return self._succeeded(now)
            case Failed(error=error) | TimedOut(error=error) | Crashed(error=error):
                return self._failed_with(error, event, now)
            case Overloaded(error=error, snoozed=False):
                return self._failed_with(error, event, now)
        return None

    def wait(self, now: float, in_flight: int) -> float:
        """Return the seconds until an event of the queue may begin, while this many are in flight. 0 while the breaker
        is closed; infinity while the probe runs."""
        if not self.is_open:
            return 0.0
        return inf if in_flight else max(self._probe_at - now, 0.0)

    def why(self, now: float) -> str:
        """Return why the queue holds its events, and when it probes next, for people."""
        cause = "" if self._cause is None else self._cause.title
        due = f"in {ceil(self._probe_at - now)} s" if now < self._probe_at else "is due"
        return (
            f"its breaker: {counted(len(self._failed), 'event')} in a row failed alike ({cause}), and "
            f"{counted(self._probes, 'probe')} since; the next probe {due}"
        )

    def _succeeded(self, now: float) -> Closed | None:
        opened_at, self._opened_at = self._opened_at, None
        self._failed.clear()
        self._cause = None
        return None if opened_at is None else Closed(now - opened_at)

    def _failed_with(self, error: Error, event: str, now: float) -> Opened | None:
        if self.is_open:
            if now >= self._probe_at:  # otherwise the event had begun before the breaker opened
                self._probes += 1
                self._probe_at = now + PROBES.wait(self._probes + 1, 0.0)
            return None
        cause = fingerprint_of(error.type, error.message, place_of(error.traceback))
        if cause != self._cause:
            self._failed.clear()
            self._cause = cause
        self._failed.add(event)
        if len(self._failed) < self._after:
            return None
        self._opened_at = now
        self._probes = 0
        self._probe_at = now + PROBES.wait(1, 0.0)
        return Opened(len(self._failed), error)
