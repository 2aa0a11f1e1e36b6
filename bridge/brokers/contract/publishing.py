"""The broker's promise to publishers.

`due` is a moment of this machine's clock; the broker delivers nothing before it by its own clock. A method that can
fail names its errors; any other exception is a defect.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from bridge.deadline import Deadline
from bridge.envelope import Envelope
from bridge.event import Event

KNOWS_NO_KEYS = (
    "expected a broker that remembers keys. RabbitMQ does not: pass session=, and the key is kept in the app's own "
    "database"
)
"""The message for `within` on RabbitMQ, after the argument and its value."""

PUBLISH_SECONDS = 10.0
"""The budget of a publish without a deadline, such as one that settles a delivery."""


Answered = Callable[[Exception | None], None]
"""Is called once, on the publisher's event loop: None for an event that is confirmed, else the error."""

Withdraw = Callable[[], None]
"""Gives a published event up, so that it is not published again. Its answer may still come."""

Post = Callable[[Answered], Withdraw]
"""Publishes one event without waiting. To be called before the event loop goes on."""


class Publisher(Protocol):
    """Publishes events, confirmed: when a method returns, the broker has the event durably."""

    async def ready(self, deadline: Deadline) -> None:
        """Return when a publish can be written. Raise `BrokerUnavailable` at the deadline, and `BrokerRefused` at once
        if the broker refuses this client."""

    async def publish(
        self,
        event: Event,
        due: datetime | None = None,
        *,
        deadline: Deadline | None = None,
        within: timedelta | None = None,
    ) -> None:
        """Publish to every queue that takes the event's name, now or when it is due, before the deadline (None:
        `PUBLISH_SECONDS` from now).

        With `within`, the event holds its key for this time, and another event of the same name and key that is
        published with a `within` meanwhile raises `DuplicateEvent`. Raise `DeferError` if the broker knows no keys.

        Raise `Unroutable` if no queue takes the event (an event that is not due yet is routed when it is), `TooLarge`
        if it is larger than the broker accepts, `DeferForbidden` if this user may not publish it, `DeferRejected` if
        the broker rejects it, `PartlyRejected` if one of several queues rejects it, and at the deadline
        `BrokerUnavailable` (certainly nothing was published) or `DeferUnconfirmed` (it may have been). Until the
        deadline the publisher waits for a broker that is away, and publishes again after a broken connection. On
        cancellation, an event that was not yet written is withdrawn.
        """

    def at_once(self, event: Event, due: datetime | None = None, *, deadline: Deadline) -> Post | None:
        """Return what publishes the event as `publish` does, but without a task for it. Return None if this publish has
        to wait for anything before it is written; nothing was done then."""

    async def put(
        self, envelope: Envelope, queue: str, due: datetime | None = None, *, deadline: Deadline | None = None
    ) -> None:
        """Put an envelope into one queue, now or when it is due. Raise what `publish` raises; `Unroutable` if there is
        no such queue."""

    async def close(self) -> None:
        """Close the publisher; a second call does nothing."""
