"""The runs of ordered queues' events, and their end when the delivery is lost.

An event whose connection is gone may begin in another worker, and then the event after it. In an ordered queue that
must not happen while the first run goes on. So this worker ends its run: its process is killed as at the end of the
grace.
"""

import asyncio
from collections.abc import Collection, Coroutine
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, cast

from bridge.logger import log
from worker.events.in_flight import EventInFlight


class OrderedRuns:
    """The runs of events of these queues."""

    def __init__(self, queues: Collection[str]) -> None:
        self._queues = queues
        self._runs: dict[asyncio.Task[None], EventInFlight] = {}

    def add(self, held: EventInFlight, run: "asyncio.Task[None]") -> None:
        """Add a run, if its queue is ordered."""
        if held.queue in self._queues:
            self._runs[run] = held
            run.add_done_callback(self._runs.pop)

    def end_lost(self) -> None:
        """End the runs whose delivery is lost. A run that has ended and waits for its settlement goes on: its event may
        be delivered to this worker again. A task that has not had its first turn ends at the next call: it would not
        learn that it is cancelled, and leave its request in the slot."""
        for run, held in self._runs.items():
            if held.delivery.lost and not held.lost and _has_begun(run):
                log.warning("ordered queue %s: its connection is lost; ending the running event", held.queue)
                run.cancel()


def _has_begun(task: "asyncio.Task[None]") -> bool:
    """Return True if the task has had its first turn."""
    return getcoroutinestate(cast("Coroutine[Any, Any, None]", task.get_coro())) != CORO_CREATED
