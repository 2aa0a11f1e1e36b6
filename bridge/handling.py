"""The handling of an event: the priority, expiry, key and retry policy that its publisher asked for. Pure.

An event keeps its handling for life.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bridge.retry_table import RetryTable

MAX_KEY = 200
"""The longest key in characters."""


class Priority(StrEnum):
    """How urgent an event is. Among waiting events of a queue, more of the urgent ones are taken, but some of all."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Handling:
    """`priority` None means the priority of the queue. The event does not begin at or after `expires` (UTC). `key` is
    the name under which the publisher knows the event. `retry` replaces the retry policy of the queue."""

    priority: Priority | None = None
    expires: datetime | None = None
    key: str | None = None
    retry: RetryTable | None = None


PLAIN = Handling()
