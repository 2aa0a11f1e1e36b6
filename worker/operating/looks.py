"""Two looks at the queues of a site, some time apart, and what they say together: the rates in and out of a queue, and
the number of its events that workers have in hand. Pure.

The broker counts what is ready. The workers report what they hold and what they have settled. A queue that has grown
although its workers have settled events got the sum of both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.brokers.contract.operating import QueueCounts, SiteCounts
from bridge.status import QueueStatus, WorkerStatus

Workers = Mapping[str, WorkerStatus]


@dataclass(frozen=True, slots=True)
class OpenBreaker:
    """The breakers by which a worker, `host:pid`, holds events of a queue, as a sentence."""

    worker: str
    why: str


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at a `time` (seconds of a clock that is never set): the counts of the broker, and the workers that
    answered, by instance; None if they could not be asked."""

    time: float
    counts: SiteCounts
    workers: Workers | None

    def held(self, queue: str) -> int | None:
        """Return how many events of a queue are in hand: as the broker counts them, else the sum of the workers; None
        if neither is known."""
        counts = self.counts.queues.get(queue)
        if counts is None or counts.held is not None or self.workers is None:
            return None if counts is None else counts.held
        return _held(counts, self.workers, self.workers, queue)

    def serving(self, queue: str) -> int:
        """Return how many of the workers that answered take events of a queue."""
        return sum(queue in worker.serving.queues for worker in (self.workers or {}).values())

    def breakers(self, queue: str) -> tuple[OpenBreaker, ...]:
        """Return the breakers that hold events of a queue, one for each worker that has some."""
        return tuple(
            OpenBreaker(f"{worker.host}:{worker.pid}", why)
            for worker in (self.workers or {}).values()
            if (why := _of(worker, queue).breaker) is not None
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """Events of one queue per second: `into` those that came in, `out` the attempts that were settled. An event that is
    to be retried goes out, and comes in again when it is due."""

    into: float
    out: float


def rates(before: Look, after: Look, queue: str) -> Rates | None:
    """Return the rates of a queue between two looks; None if one of them has no counts of the queue or no workers."""
    first, last = before.counts.queues.get(queue), after.counts.queues.get(queue)
    seconds = after.time - before.time
    if first is None or last is None or before.workers is None or after.workers is None or seconds <= 0:
        return None
    # A worker that answered once only would look as if its events had come or gone.
    both = {
        instance: worker
        for instance, worker in after.workers.items()
        if instance in before.workers or worker.age <= seconds
    }
    out = sum(
        _of(worker, queue).settled - _of(before.workers.get(instance), queue).settled
        for instance, worker in both.items()
    )
    in_queue = [
        sum(counts.ready.values()) + _held(counts, workers, both, queue)
        for counts, workers in ((first, before.workers), (last, after.workers))
    ]
    return Rates(max(in_queue[1] - in_queue[0] + out, 0) / seconds, out / seconds)


def _held(counts: QueueCounts, workers: Workers, instances: Iterable[str], queue: str) -> int:
    if counts.held is not None:
        return counts.held
    return sum(_of(workers.get(instance), queue).held for instance in instances)


def _of(worker: WorkerStatus | None, queue: str) -> QueueStatus:
    """Return the queue as a worker serves it, as one without events if it does not."""
    found = None if worker is None else worker.serving.queues.get(queue)
    return QueueStatus(live=False) if found is None else found
