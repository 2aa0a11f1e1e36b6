"""The watcher that counts the settled attempts of this process since its start, by kind of settlement."""

from bridge.moments import Moment, Settled
from bridge.settlement import Ack, DeadLetter, Drop, RetryAfter


class Counters:
    """Counts settlements for the status of a worker and for its last log line."""

    def __init__(self) -> None:
        self.delivered = 0
        self.retried = 0
        self.dead = 0
        self.dropped = 0
        self.snoozed = 0

    def __str__(self) -> str:
        rare = {"dropped": self.dropped, "snoozes": self.snoozed}
        also = "".join(f", {count} {what}" for what, count in rare.items() if count)
        return f"{self.delivered} delivered, {self.retried} retries, {self.dead} dead-lettered{also}"

    def hears(self, kind: type) -> bool:
        """Return whether a moment of this type counts."""
        return kind is Settled

    def __call__(self, moment: Moment) -> None:
        if not isinstance(moment, Settled):
            return
        match moment.settlement:
            case Ack():
                self.delivered += 1
            case RetryAfter(snoozed=True):
                self.snoozed += 1
            case RetryAfter():
                self.retried += 1
            case DeadLetter():
                self.dead += 1
            case Drop():
                self.dropped += 1
