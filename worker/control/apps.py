"""The apps that the workers of one site run. Two apps that serve one queue take each other's events. Pure."""

from collections.abc import Collection, Iterable

from bridge.status import UnreadableStatus, WorkerStatus

FOREIGN_POOL = "a pool that others run"
"""Shown instead of the app by a worker that does not know it."""


def apps_of(workers: Iterable[WorkerStatus | UnreadableStatus]) -> list[str]:
    """Return the apps of the workers that know theirs, each once."""
    known = {worker.app for worker in workers if isinstance(worker, WorkerStatus)} - {FOREIGN_POOL}
    return sorted(known)


def serving_one_of(
    workers: Iterable[WorkerStatus | UnreadableStatus], queues: Collection[str]
) -> list[WorkerStatus | UnreadableStatus]:
    """Return the workers that serve at least one of these queues."""
    return [
        worker
        for worker in workers
        if isinstance(worker, WorkerStatus) and not worker.serving.queues.keys().isdisjoint(queues)
    ]
