"""An observer that logs each attempt of an event in the app's own process. It is also the example of an observer: a
watcher that is interested in the moments of replays.
"""

import logging
from typing import TYPE_CHECKING

from bridge.app_moments import Replayed, Replaying

if TYPE_CHECKING:
    from app_adapter.extension import DeferredEvents
    from bridge.moments import Moment

LOGGER = "deferred_event_bridge.events"


class EventLogger:
    """Logs each attempt: its beginning at debug, its end at info, or at warning unless the event was delivered.

    `EventLogger(events)` observes at once; `events.observe(EventLogger())` does the same. Each record has the event's
    name, id, queue and attempt in its text, and as the attributes `event`, `id`, `queue` and `attempt`.
    """

    def __init__(self, events: "DeferredEvents | None" = None, *, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger(LOGGER)
        if events is not None:
            events.observe(self)

    def __call__(self, moment: "Moment") -> None:
        """Log a moment of a replay, and ignore every other moment."""
        match moment:
            case Replaying():
                self._log(logging.DEBUG, "begins", moment)
            case Replayed(verdict=verdict, seconds=seconds):
                level = logging.INFO if verdict.kind == "delivered" else logging.WARNING
                error = verdict.error
                why = "" if error is None else f": {error.type}: {error.message}"
                self._log(level, f"{verdict.kind} after {seconds:.3f} s{why}", moment)
            case _:
                pass

    def _log(self, level: int, what: str, moment: Replaying | Replayed) -> None:
        event = moment.event
        about = {"event": event.name, "id": event.id, "queue": moment.queue, "attempt": moment.attempt}
        text = "event %s %s (id %s, queue %s, attempt %d)"
        self._logger.log(level, text, event.name, what, event.id, moment.queue, moment.attempt, extra=about)
