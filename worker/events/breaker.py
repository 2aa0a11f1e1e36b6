"""A breaker: while what some events need is away, it holds them, and one event at a time probes whether it is back.
Arithmetic only; the caller keeps time.

    closed --(`after` events in a row fail alike, or another worker tells that they have)--> open
    open --(an event succeeds; or, if it opened as told, another worker tells so before a probe runs here)--> closed

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

COMING_BACK = 100.0
"""Events per second that a breaker lets come back, of those that do not wait in their queue."""

FIRST_COMES_BACK_AFTER = 10.0
"""The longest time in seconds until the first of them comes back. Probes are rarer, but a person may ask for one."""

COMES_BACK_AT_MOST = 900.0
"""The longest time in seconds until such an event comes back."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The breaker has opened, after this many events in a row failed with `error`: in this worker, or in the `worker`
    (`host:pid`) that has told so."""

    events: int
    error: Error
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """The breaker has closed, after it was open for these seconds, because an event succeeded: in this worker, or in
    the `worker` (`host:pid`) that has told so."""

    seconds: float
    worker: str | None = None


class Breaker:
    """The breaker of some events in one worker. It opens after `after` different ones in a row that fail alike; `what`
    is the word for them."""

    def __init__(self, after: int, title: str = "its breaker", what: str = "event") -> None:
        self._after = after
        self._title = title
        self._what = what
        self._cause: Fingerprint | None = None
        self._failed: set[str] = set()
        self.opened: Opened | None = None
        """Why it is open, None while it is closed."""
        self._opened_at = 0.0
        self._probe: str | None = None
        self._probes = 0
        self._probe_at = 0.0
        self._last_comes_back_at = 0.0

    @property
    def is_open(self) -> bool:
        """True while it holds its events."""
        return self.opened is not None

    @property
    def is_new(self) -> bool:
        """True while it is closed and has counted no failure."""
        return not (self.is_open or self._failed)

    def note(self, event: str, outcome: Outcome, now: float, counts_as: str | None = None) -> Opened | Closed | None:
        """Note the outcome of the event with this id; return what the breaker does because of it. Events that fail with
        the same `counts_as` (None: their id) count once."""
        probed = self.left(event)
        match outcome:
            case Succeeded():
                return self._succeeded(now)
            case Failed(error=error) | TimedOut(error=error) | Crashed(error=error):
                return self._failed_with(error, counts_as or event, now, probed=probed)
            case Overloaded(error=error, snoozed=False):
                return self._failed_with(error, counts_as or event, now, probed=probed)
        return None

    def begins(self, event: str) -> None:
        """Note that the event with this id begins: while the breaker is open, it is the probe."""
        if self.is_open:
            self._probe = event

    def left(self, event: str) -> bool:
        """Note that the event with this id runs no more, with or without an outcome. Return True if it was the
        probe."""
        was_probe = self._probe == event
        if was_probe:
            self._probe = None
        return was_probe

    def wait(self, now: float) -> float:
        """Return the seconds until the next event may begin: 0 while the breaker is closed, infinity while a probe
        runs."""
        if not self.is_open:
            return 0.0
        return inf if self._probe is not None else max(self._probe_at - now, 0.0)

    def probe_at_once(self, now: float) -> None:
        """Make the next probe due now."""
        self._probe_at = min(self._probe_at, now)

    def open_as_told(self, opened: Opened, now: float) -> Opened | None:
        """Open as another worker did, as if its failures had been counted here. Return None if it is open already."""
        return None if self.is_open else self._open(opened, now)

    def close_as_told(self, worker: str, now: float) -> Closed | None:
        """Close, because the breaker of another worker has closed, if this one opened only as told, and no probe runs
        here or has failed. Return None if it does not."""
        if self.opened is None or self.opened.worker is None or self._probes or self._probe is not None:
            return None
        return self._succeeded(now, worker)

    def comes_back_in(self, now: float) -> float:
        """Return the seconds after which an event that is held, and does not wait in its queue, comes back: when the
        next probe is due, or somewhat earlier, and after those that were asked about before, `COMING_BACK` a second."""
        first = now + min(max(self._probe_at - now, PROBES.first), FIRST_COMES_BACK_AFTER)
        self._last_comes_back_at = max(self._last_comes_back_at + 1 / COMING_BACK, first)
        self._last_comes_back_at = min(self._last_comes_back_at, now + COMES_BACK_AT_MOST)
        return self._last_comes_back_at - now

    def why(self, now: float) -> str:
        """Return why it holds its events, and when it probes next, for people."""
        cause = "" if self._cause is None else self._cause.title
        due = f"in {ceil(self._probe_at - now)} s" if now < self._probe_at else "is due"
        if self._probe is not None:
            due = "runs"
        events, where = len(self._failed), ""
        if self.opened is not None:
            events, where = self.opened.events, where_of(self.opened)
        return (
            f"{self._title}: {counted(events, self._what)} in a row failed alike{where} ({cause}), and "
            f"{counted(self._probes, 'probe')} since; the next probe {due}"
        )

    def _succeeded(self, now: float, worker: str | None = None) -> Closed | None:
        was_open, self.opened = self.is_open, None
        self._failed.clear()
        self._cause = None
        self._probe = None
        return Closed(now - self._opened_at, worker) if was_open else None

    def _failed_with(self, error: Error, thing: str, now: float, *, probed: bool) -> Opened | None:
        if self.is_open:
            if probed:  # otherwise the event had begun before the breaker opened
                self._probes += 1
                self._probe_at = now + PROBES.wait(self._probes + 1, 0.0)
            return None
        cause = _cause_of(error)
        if cause != self._cause:
            self._failed.clear()
            self._cause = cause
        self._failed.add(thing)
        if len(self._failed) < self._after:
            return None
        return self._open(Opened(len(self._failed), error), now)

    def _open(self, opened: Opened, now: float) -> Opened:
        self.opened = opened
        self._cause = _cause_of(opened.error)
        self._opened_at = now
        self._probes = 0
        self._probe_at = now + PROBES.wait(1, 0.0)
        self._last_comes_back_at = now
        return opened


def where_of(what: Opened | Closed) -> str:
    """Return the words that name the worker that has told, if it was another one."""
    return "" if what.worker is None else f" in worker {what.worker}"


def _cause_of(error: Error) -> Fingerprint:
    return fingerprint_of(error.type, error.message, place_of(error.traceback))
