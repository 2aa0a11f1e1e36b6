"""The workers of these settings on this machine."""

from collections.abc import Sequence

from bridge.findings import Finding, ok, wrong
from bridge.settings import Values
from worker.workers import Worker, workers_of

LATE = 300.0
"""Seconds. An event that begins so long after it was due has waited in its queue."""


def examine(values: Values) -> Sequence[Finding]:
    """Ask each worker of this user whether it takes events and gets on with them."""
    return judge(workers_of(values))


def judge(workers: Sequence[Worker]) -> Sequence[Finding]:
    """Judge what they said. That none is here is no fault: they may be on another machine."""
    return [_one(worker) for worker in workers] or [ok("workers", "none of this user on this machine")]


def _one(worker: Worker) -> Finding:
    if worker.why_not is None and worker.late < LATE:
        return ok("workers", f"process {worker.pid} takes events and gets on with them")
    if worker.why_not is None:
        step = "more children (SIGTTIN) or more workers; bridge-status shows what takes so long"
        return wrong("workers", f"process {worker.pid} runs events {worker.late:.0f} s after they were due", step)
    return wrong("workers", f"process {worker.pid} is not ready: {worker.why_not}", "see its log, and bridge-status")
