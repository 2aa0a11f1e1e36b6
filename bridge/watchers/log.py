"""The watcher that logs settled attempts on the logger `bridge.events`, one record for each.

A retry is a warning, a dead letter is an error, and the record has the app's traceback. A halted queue is an error too.
A snooze and a dropped event are logged at info, and so is a success if the setting `log_events` is true.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from bridge.attempt import Error
from bridge.event import after, local_time
from bridge.moments import Moment, Settled
from bridge.settlement import Ack, DeadLetter, Drop, Halt, RetryAfter

log = logging.getLogger("bridge.events")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LogWatcher:
    """Logs retries and dead letters, and with `successes` also successes. `now` returns the time in UTC."""

    def __init__(self, *, successes: bool = False, now: Callable[[], datetime] = _utc_now) -> None:
        self._successes = successes
        self._now = now

    def hears(self, kind: type) -> bool:
        """Return whether a moment of this type counts."""
        return kind is Settled

    def __call__(self, moment: Moment) -> None:
        if isinstance(moment, Settled) and (self._successes or not isinstance(moment.settlement, Ack)):
            _log(moment, self._now())


def _log(settled: Settled, now: datetime) -> None:
    about: dict[str, object] = {
        "event": settled.event.name,
        "id": settled.event.id,
        "queue": settled.queue,
        "attempt": settled.attempt,
        "seconds": round(settled.seconds, 3),
    }
    match settled.settlement:
        case Ack():
            log.info("delivered", extra=about)
        case Drop(error=error):
            log.info("dropped: %s", _summary(error), extra=about)
        case Halt(error=error):
            log.error("queue halted by a listener: %s", _summary(error), extra=about)
        case RetryAfter(error=error, wait=wait, snoozed=True):
            log.info("snoozed for %g s: %s", wait.total_seconds(), _summary(error), extra=about)
        case RetryAfter(error=error, wait=wait, note=note):
            next_try = local_time(after(now, wait.total_seconds())).isoformat("T", "seconds")
            _log_error(logging.WARNING, f"retry scheduled: {_summary(error)}", error, {**about, "next": next_try})
            _log_note(note, about)
        case DeadLetter(error=error, reason="cancelled"):
            log.info("ended: %s", error.message, extra=about)
        case DeadLetter(error=error, reason=reason, note=note):
            _log_error(logging.ERROR, f"dead letter ({reason}): {_summary(error)}", error, about)
            _log_note(note, about)


def _log_error(level: int, message: str, error: Error, about: Mapping[str, object]) -> None:
    if not log.isEnabledFor(level):
        return
    record = log.makeRecord(log.name, level, __file__, 0, "%s", (message,), None, extra=about)
    # The exception was raised in another process, so only its text exists. Formatters print `exc_text` like the
    # traceback of an exception.
    record.exc_text = error.traceback and error.traceback.rstrip("\n")
    log.handle(record)


def _log_note(note: str | None, about: Mapping[str, object]) -> None:
    if note is not None:
        log.error("%s", note, extra=dict(about))


def _summary(error: Error) -> str:
    return f"{error.type}: {error.message}" if error.message else error.type
