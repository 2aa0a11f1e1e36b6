"""The doctor's check of this machine's workers."""

from collections.abc import Sequence

from bridge.brokers.contract.findings import Finding, ok, wrong
from bridge.config.values import Values
from bridge.status import UnreadableStatus, WorkerStatus
from worker.control.control_socket import workers_of
from worker.control.readiness import late, why_not

LATE = 300.0
"""Seconds. An event that begins this long after it was due has waited in its queue."""


def examine(values: Values) -> Sequence[Finding]:
    """Ask each worker of this user for its status, and judge it."""
    return judge(workers_of(values))


def served(values: Values) -> dict[int, frozenset[str]]:
    """Return the queues that each worker of this user consumes, by process id, whatever its other settings are."""
    return {
        worker.pid: frozenset(name for name, queue in worker.serving.queues.items() if queue.live)
        for worker in workers_of(values)
        if isinstance(worker, WorkerStatus)
    }


def judge(workers: Sequence[WorkerStatus | UnreadableStatus]) -> Sequence[Finding]:
    """Judge the workers by their statuses. It is not wrong if this machine has none: workers may run elsewhere."""
    return [_judged(worker) for worker in workers] or [ok("workers", "this user runs no worker on this machine")]


def _judged(worker: WorkerStatus | UnreadableStatus) -> Finding:
    why, lateness = why_not(worker), late(worker)
    if why is not None:
        return wrong("workers", f"process {worker.pid} is not ready: {why}", "see its log, and bridge-status")
    if held := _held(worker):
        step = "mend what these events need; they run again when one succeeds. bridge-dlq groups has the errors"
        return wrong("workers", f"process {worker.pid}: {'; '.join(held)}", step)
    if lateness >= LATE:
        step = "more children (SIGTTIN) or more workers; bridge-status shows what takes so long"
        return wrong("workers", f"process {worker.pid} runs events {lateness:.0f} s after they were due", step)
    return ok("workers", f"process {worker.pid} takes events and settles them")


def _held(worker: WorkerStatus | UnreadableStatus) -> list[str]:
    """Return a sentence for each queue that its breaker holds in this worker."""
    if isinstance(worker, UnreadableStatus):
        return []
    queues = worker.serving.queues.items()
    return [f"queue {name} waits: {queue.breaker}" for name, queue in queues if queue.breaker is not None]
