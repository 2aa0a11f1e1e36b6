"""Pool: who does what? Workers, their slots and children, and the events that run."""

from datetime import datetime
from typing import Any

from bridge.registry import Missing, Roll
from bridge.status import SlotStatus, WorkerStatus
from deferred_event_bridge.dashboard.screens.asked import Asked, iso
from worker.control.readiness import why_not

COMMANDS = ("bridge-status --site",)


def document(asked: Asked) -> dict[str, Any]:
    """Return the workers of the site with their slots, and those that are missing."""
    seen = asked.observer.seen()
    roll = seen.roll or Roll((), ())
    workers = [_worker(each) for each in roll.workers]
    busy = sum(worker["busy"] for worker in workers)
    slots = sum(worker["slots_all"] for worker in workers)
    return {
        "as_of": iso(seen.time),
        "unreachable": seen.trouble,
        "headline": _headline(len(workers), busy, slots, len(roll.missing), is_known=seen.roll is not None),
        "level": "bad" if seen.trouble or roll.missing or not workers else "good",
        "workers": workers,
        "missing": [_missing(each, asked.now) for each in roll.missing],
        "unreadable": list(roll.unreadable),
    }


def _headline(workers: int, busy: int, slots: int, missing: int, *, is_known: bool) -> str:
    if not workers:
        return "No worker answers." if is_known else "Asking the workers …"
    gone = f" {missing} missing." if missing else ""
    return f"{busy:,} of {slots:,} slots busy, in {workers:,} {'worker' if workers == 1 else 'workers'}.{gone}"


def _worker(worker: WorkerStatus) -> dict[str, Any]:
    why = why_not(worker)
    return {
        "instance": worker.instance,
        "host": worker.host,
        "pid": worker.pid,
        "app": worker.app,
        "release": worker.release,
        "version": worker.version,
        "up_seconds": round(worker.age),
        "state": why or "ready",
        "level": "bad" if why else "good",
        "trouble": worker.trouble,
        "busy": sum(slot.state == "busy" for slot in worker.slots),
        "slots_all": worker.serving.slots,
        "slots_omitted": worker.slots_omitted,
        "running": worker.running,
        "delivered": worker.delivered,
        "retried": worker.retried,
        "dead": worker.dead_lettered,
        "restarts": worker.restarts,
        "waits": {name: queue.waits for name, queue in worker.serving.queues.items() if queue.waits},
        "slots": [slot_document(slot) for slot in worker.slots],
    }


def slot_document(slot: SlotStatus) -> dict[str, Any]:
    """Return a slot with its child and the event that runs in it."""
    share = None if slot.seconds is None or not slot.deadline else min(slot.seconds / slot.deadline, 1.0)
    return {
        "slot": slot.slot,
        "state": slot.state,
        "pid": slot.pid,
        "why": slot.why,
        "rss": slot.rss,
        "requests": slot.requests,
        "age": slot.age,
        "release": slot.release,
        "event": slot.event,
        "id": slot.id,
        "queue": slot.queue,
        "attempt": slot.attempt,
        "seconds": None if slot.seconds is None else round(slot.seconds, 1),
        "deadline": slot.deadline,
        "of_deadline": None if share is None else round(share, 3),
        "progress": None if slot.progress is None else str(slot.progress),
    }


def _missing(missing: Missing, now: datetime) -> dict[str, Any]:
    return {
        "host": missing.host,
        "pid": missing.pid,
        "app": missing.app,
        "seen": iso(missing.seen),
        "gone_seconds": round((now - missing.seen).total_seconds()),
    }
