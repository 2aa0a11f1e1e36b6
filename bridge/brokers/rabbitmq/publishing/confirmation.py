"""The confirmation of one publication over its tries: whether it may have been published, and the error that says so.
Pure.
"""

from bridge.brokers.rabbitmq.publishing.publication import Publication
from bridge.deadline import Deadline
from bridge.errors import (
    BrokerRefused,
    BrokerUnavailable,
    DeferForbidden,
    DeferRejected,
    DeferUnconfirmed,
    PartlyRejected,
)
from bridge.logs import AppendUnconfirmed


class Confirmation:
    """The tries of one publication so far. `in_flight`: a try is written and not answered. `unknown`: a try was neither
    confirmed nor refused. `rejected`: RabbitMQ has rejected a try."""

    def __init__(self, publication: Publication, deadline: Deadline) -> None:
        self._publication = publication
        self._budget = deadline.budget
        self.in_flight = False
        self.unknown = False
        self.rejected = False

    def as_defer_error(self, reason: str) -> BrokerUnavailable | DeferRejected | DeferUnconfirmed:
        """Return the error of an event that is not confirmed at its deadline; `reason` may be empty."""
        if self._may_be_published:
            return DeferUnconfirmed(self._publication.event_id, self._unconfirmed(reason))
        if self.rejected:
            return DeferRejected(
                f"{self._publication.subject}: RabbitMQ does not take it (a full queue or disk) for {self._seconds}"
            )
        return BrokerUnavailable(self._unpublished(reason))

    def as_forbidden(self, words: str) -> DeferForbidden | DeferUnconfirmed:
        """Return the error of an event that RabbitMQ does not permit this user to publish, in RabbitMQ's `words`."""
        if self._may_be_published:
            message = f"{self._publication.subject}: an earlier try may have been published, and now {words}"
            return DeferUnconfirmed(self._publication.event_id, message)
        return DeferForbidden(f"{self._publication.subject}: {words}")

    def as_append_error(self, reason: str, *, refused: bool) -> BrokerRefused | BrokerUnavailable | AppendUnconfirmed:
        """Return the error of a message to a stream that is not confirmed at its deadline, or sooner if RabbitMQ
        `refused` this client; `reason` may be empty."""
        if self._may_be_published:
            return AppendUnconfirmed(self._unconfirmed(reason))
        if refused:
            return BrokerRefused(f"{self._publication.subject}: {reason}")
        return BrokerUnavailable(self._unpublished(reason))

    def partly(self, name: str) -> PartlyRejected:
        """Return the error of an event that one of several queues has rejected."""
        refusal = f"one of the queues of {name!r} does not take it, and the others may have it"
        return PartlyRejected(self._publication.event_id, f"{self._publication.subject}: {refusal}")

    @property
    def _seconds(self) -> str:
        return f"{self._budget:g} s"

    @property
    def _may_be_published(self) -> bool:
        return self.in_flight or self.unknown

    def _unconfirmed(self, reason: str) -> str:
        return f"{self._publication.subject}: written, not confirmed {self._in_time(reason)}"

    def _unpublished(self, reason: str) -> str:
        return f"{self._publication.subject}: not published {self._in_time(reason)}"

    def _in_time(self, reason: str) -> str:
        return f"within {self._seconds}{': ' if reason else ''}{reason}"
