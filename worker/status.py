"""A worker's status, from its books alone: no child is asked, so that none can be waited for. Times are in seconds,
memory in bytes, and all of it is as JSON can have it."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from worker.child_slot import ChildSlot
from worker.consumer import EventConsumer
from worker.tally import Tally


@dataclass(frozen=True, slots=True)
class About:
    """What does not change while a worker runs."""

    app: str
    broker: str
    namespace: str
    deadline: float
    """Seconds: the longest that a replay may take."""
    started: datetime


def worker_status(about: About, events: EventConsumer, tally: Tally, pool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the status of a worker, with that of its pool."""
    return {
        "pid": os.getpid(),
        "app": about.app,
        "broker": about.broker,
        "namespace": about.namespace,
        "version": version("deferred-event-bridge"),
        "age": round((datetime.now(UTC) - about.started).total_seconds(), 1),
        "running": events.running,
        "delivered": tally.delivered,
        "retried": tally.retried,
        "dead_lettered": tally.dead,
        "serving": {**events.serving(), "deadline": about.deadline},
        **pool,
    }


def event_of(slot: ChildSlot | None) -> Mapping[str, Any]:
    """Return what runs in a slot, and for how long; nothing where nothing does."""
    if slot is None or (running := slot.running) is None:
        return {}
    return {
        "event": running.event,
        "id": running.id,
        "queue": running.queue,
        "attempt": running.attempt,
        "seconds": round(asyncio.get_running_loop().time() - running.since, 3),
    }
