"""Queues: what a site declares in `bridge.toml`, and which of them take an event."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from bridge.retry_table import DEFAULT, RetryTable
from bridge.topics import matches

CATCH_ALL = "default"


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue: the patterns it takes, how long a replay may last, how failures are retried (a table, or the
    `"module:object"` of a tenacity policy), and how many of its events may be in flight in one worker (None: as many
    as the worker has slots).

    The queue named `default` is the catch-all: besides its own patterns, it takes what no other queue takes.
    """

    name: str
    patterns: tuple[str, ...] = ()
    deadline: timedelta = timedelta(seconds=60)
    retry: RetryTable | str = DEFAULT
    slots: int | None = None

    @property
    def catch_all(self) -> bool:
        """Whether it takes what no other queue takes."""
        return self.name == CATCH_ALL

    def takes(self, name: str) -> bool:
        """Tell whether one of its patterns matches the name."""
        return any(matches(pattern, name) for pattern in self.patterns)


def route(queues: Iterable[Queue], name: str) -> tuple[str, ...]:
    """Return the names of the queues that take an event of this name: none where it is unroutable."""
    queues = tuple(queues)
    taken = tuple(queue.name for queue in queues if queue.takes(name))
    return taken or tuple(queue.name for queue in queues if queue.catch_all)
