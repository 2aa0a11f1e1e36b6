"""The queues that a site declares in `bridge.toml`, and the routing of events to them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from bridge.foreign_messages.source import ForeignSource
from bridge.handling import Handling, Priority
from bridge.rate import Rate
from bridge.retry_table import DEFAULT, RetryTable
from bridge.topics import is_name, is_reserved, matches

CATCH_ALL = "default"

DEADLINE_AT_MOST = timedelta(minutes=25)
"""The default of `deadline_at_most`: RabbitMQ takes a delivery back after 30 minutes by default."""

WEIGHTS: Mapping[Priority, int] = {Priority.HIGH: 16, Priority.NORMAL: 4, Priority.LOW: 1}
"""How many events of each priority are taken, in proportion, while events of all priorities wait in a queue."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue.

    `patterns` are the patterns of its event names. `deadline` is the longest time that a replay may take, and
    `deadline_at_most` the longest time if its listener asks for more. `retry` is the retry policy: a table, or the
    `"module:object"` of a tenacity policy. `slots` is the largest number of its events in flight in one worker (None:
    as many as the worker has slots). `expired` is the end of an event that did not begin in time: a dead letter, or
    none. `priority` is that of events that ask for none. `weight` is its share of a worker's events while several of
    the worker's queues have a backlog. `rate` limits how many events begin in a time in the whole site, `burst` how
    many at once, and `site_slots` how many run at a time in the whole site. `breaker` is the number of events in a row
    that fail alike before a worker holds the queue's events (None: it never does). The messages of the `foreign` queue
    of an older bridge become events of this queue.

    The events of an `ordered` queue run one at a time in the whole site, in the order in which they came to the queue.
    A retry keeps its place, and the events after it wait. Their priorities do not count.

    The queue named `default` is the catch-all: it also takes the events that match no pattern of any queue.

    Internal events, whose names begin with `bridge.`, go only to queues that name them: a pattern that begins with
    `bridge.` may match them, and `#` and the catch-all do not.
    """

    name: str
    patterns: tuple[str, ...] = ()
    deadline: timedelta = timedelta(seconds=60)
    retry: RetryTable | str = DEFAULT
    slots: int | None = None
    expired: Literal["dead-letter", "drop"] = "dead-letter"
    priority: Priority = Priority.NORMAL
    weight: int = 1
    ordered: bool = False
    rate: Rate | None = None
    burst: int = 1
    site_slots: int | None = None
    breaker: int | None = None
    deadline_at_most: timedelta = DEADLINE_AT_MOST
    foreign: ForeignSource | None = None

    @property
    def longest(self) -> timedelta:
        """The longest time that a replay may take, with the time that its listener asks for."""
        return max(self.deadline, self.deadline_at_most)

    @property
    def catch_all(self) -> bool:
        """True if the queue takes the events that match no pattern of any queue."""
        return self.name == CATCH_ALL

    @property
    def one_name(self) -> bool:
        """True if the queue takes events of one name only."""
        return not self.catch_all and len(self.patterns) == 1 and is_name(self.patterns[0])

    def takes(self, name: str) -> bool:
        """Return whether one of the queue's patterns matches the event name."""
        patterns = filter(is_reserved, self.patterns) if is_reserved(name) else self.patterns
        return any(matches(pattern, name) for pattern in patterns)


def lane_of(handling: Handling) -> Priority:
    """Return the lane of a queue in which a broker keeps an event: that of the priority that the event asks for, or the
    middle one. (The priority of the queue changes with the settings, and events do not move.)"""
    return handling.priority or Priority.NORMAL


def priority_of(handling: Handling, queue: Queue | None) -> Priority:
    """Return the priority of an event in a queue (None: not declared here): its own, or that of the queue."""
    if queue is not None and queue.ordered:
        return Priority.NORMAL
    if handling.priority is not None:
        return handling.priority
    return queue.priority if queue is not None else Priority.NORMAL


def route(queues: Iterable[Queue], name: str) -> tuple[str, ...]:
    """Return the names of the queues that take an event of this name. The tuple is empty if the event is unroutable."""
    queues = tuple(queues)
    matching = tuple(queue.name for queue in queues if queue.takes(name))
    if matching or is_reserved(name):
        return matching
    return tuple(queue.name for queue in queues if queue.catch_all)
