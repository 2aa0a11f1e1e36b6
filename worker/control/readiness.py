"""Decide from a worker's status whether the worker is ready: whether it takes events and settles them. Pure."""

from bridge.brokers.contract.findings import counted
from bridge.status import UnreadableStatus, WorkerStatus

SLACK = 10.0
"""Seconds after the longest deadline within which a child is killed and its event is settled."""


def why_not(worker: WorkerStatus | UnreadableStatus) -> str | None:
    """Return why a worker is not ready; None if it is ready."""
    if isinstance(worker, UnreadableStatus):
        return worker.trouble
    serving = worker.serving
    if idle := [name for name, queue in serving.queues.items() if not queue.live]:
        return f"it has no live consumer on {', '.join(idle)}: {serving.why or 'it takes no more events'}"
    if not serving.slots:
        return f"it has no slot that takes events: {worker.trouble or 'no child is warm, no pool can be reached'}"
    if serving.unconfirmed:
        return f"the broker does not confirm {counted(serving.unconfirmed, 'settlement')}, so no event begins"
    if worker.running and serving.progress > serving.deadline + SLACK:
        return (
            f"no event was settled for {serving.progress:.0f} s, while it holds {counted(worker.running, 'event')}: "
            f"a replay may last {serving.deadline:g} s"
        )
    return None


def late(worker: WorkerStatus | UnreadableStatus) -> float:
    """Return how many seconds the oldest event in a worker has been due, beyond the time that a replay may take."""
    if isinstance(worker, UnreadableStatus):
        return 0.0
    return max(worker.serving.late - worker.serving.deadline, 0.0)
