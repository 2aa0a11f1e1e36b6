"""What `bridge-queues probe` does: it asks the workers that hold events of a queue to probe at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.brokers.any_broker.roll_call import ask_site
from bridge.brokers.contract.broker import Broker
from bridge.config.settings import Settings
from bridge.console.site_options import existing_broker
from bridge.logs import Content
from bridge.probes import SUBJECT, ProbeAsked, instances_in, question_of
from bridge.status import WorkerStatus
from worker.operating.queue_acts import check_queue

ANSWER_AT_MOST = 5.0
"""Seconds that the workers have for their answers: a busy one has some."""


@dataclass(frozen=True, slots=True)
class AskedWorker:
    """A worker that held events of the queue. `why` is the sentence of its breakers. `probes` is False if it has not
    answered, or holds them no more."""

    host: str
    pid: int
    why: str
    probes: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """The workers that were asked, and the number of those that could not be asked what they hold."""

    workers: tuple[AskedWorker, ...]
    missing: int

    @property
    def all_probe(self) -> bool:
        """True if there are such workers, and all of them probe."""
        return bool(self.workers) and not self.missing and all(worker.probes for worker in self.workers)


async def probe(settings: Settings, queue: str) -> Asked:
    """Make the workers that hold events of a queue probe at once, and return these workers. Raise `Failure` if the
    settings have no such queue, `BrokerUnavailable` or `BrokerRefused`."""
    check_queue(settings, queue)
    async with existing_broker(settings) as broker:
        roll = await ask_site(broker, ANSWER_AT_MOST)
        holding = [(worker, why) for worker in roll.workers if (why := _held(worker, queue)) is not None]
        probes = await _asked(broker, queue, frozenset(worker.instance for worker, _ in holding))
    workers = tuple(AskedWorker(worker.host, worker.pid, why, worker.instance in probes) for worker, why in holding)
    return Asked(workers, len(roll.missing) + len(roll.unreadable))


async def _asked(broker: Broker, queue: str, instances: frozenset[str]) -> frozenset[str]:
    """Ask for the probe; return which of the workers have answered."""
    if not instances:
        return instances

    def complete(answers: Sequence[Content]) -> bool:
        return instances_in(answers) >= instances

    answers = await broker.broadcast(SUBJECT).ask_all(question_of(ProbeAsked(queue)), 0, complete, ANSWER_AT_MOST)
    return instances_in(answers)


def _held(worker: WorkerStatus, queue: str) -> str | None:
    served = worker.serving.queues.get(queue)
    return None if served is None else served.breaker
