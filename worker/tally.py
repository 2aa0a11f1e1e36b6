"""The tally: what this worker has done since its start, and a log line for each event that did not just succeed."""

from bridge.attempt import Error
from bridge.settlement import Ack, DeadLetter, Retry
from bridge.telemetry import Settled, log


class Tally:
    """A hook that counts settlements and tells of those that a person may want to know."""

    def __init__(self) -> None:
        self.delivered = 0
        self.retried = 0
        self.dead = 0

    def __str__(self) -> str:
        return f"{self.delivered} delivered, {self.retried} retries, {self.dead} dead-lettered"

    def __call__(self, settled: Settled) -> None:
        event = settled.envelope.event
        about = {
            "event": event.name,
            "id": event.id,
            "queue": settled.queue,
            "attempt": settled.envelope.attempt_number,
            "seconds": round(settled.seconds, 3),
        }
        match settled.settlement:
            case Ack():
                self.delivered += 1
                return
            case Retry(error=error, due=due, note=note):
                self.retried += 1
                log.warning("%s", _said(error), extra={**about, "next": due.astimezone().isoformat("T", "seconds")})
            case DeadLetter(error=error, reason=reason, note=note):
                self.dead += 1
                log.error("dead letter (%s): %s", reason, _said(error), extra=about)
        if note is not None:
            log.error(note, extra=about)


def _said(error: Error) -> str:
    return f"{error.type}: {error.message}" if error.message else error.type
