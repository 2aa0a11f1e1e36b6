"""Redrive: what is put back, and does it live? The orders of this process, and the redrives that the ledger records."""

from typing import Any

from dead_letter.rendering import by_reason
from deferred_event_bridge.dashboard.decision_job import SKIPPED_SHOWN, DecisionJob, DecisionJobs
from deferred_event_bridge.dashboard.ledger_fold import RedriveSeen
from deferred_event_bridge.dashboard.screens.asked import Asked, command, iso

SHOWN = 30


def document(asked: Asked, jobs: DecisionJobs) -> dict[str, Any]:
    """Return the orders of this process, and the redrives that the ledger has recorded."""
    seen, ledger = asked.observer.seen(), asked.observer.ledger
    orders = [_order(job) for job in jobs.all()]
    running = [each for each in orders if each["running"]]
    return {
        "as_of": iso(seen.time),
        "unreachable": seen.trouble,
        "read": seen.ledger_read,
        "level": "wait" if running else "good",
        "headline": _headline(running),
        "orders": orders,
        "open": ledger.total(),
        "redrives": [_redrive(each) for each in ledger.redrives()[:SHOWN]],
        "command": command("bridge-dlq", "redrive", "--rate", "50/s"),
    }


def _headline(running: list[dict[str, Any]]) -> str:
    if not running:
        return "No redrive runs here."
    order = running[0]
    verb = "Redriving" if order["verb"] == "redrive" else "Discarding"
    return f"{verb}: {order['done']:,} of {order['total']:,} letters."


def _order(job: DecisionJob) -> dict[str, Any]:
    tally, order = job.tally, job.order
    skipped = list(tally.skipped)
    return {
        "id": order.id,
        "verb": order.verb,
        "who": order.who,
        "why": order.why,
        "began": iso(job.began),
        "ended": iso(job.ended),
        "running": job.ended is None,
        "stopping": job.stopping,
        "total": job.total,
        "done": tally.done,
        "skipped": len(skipped),
        "skipped_why": list(by_reason((dead.number, why) for dead, why in skipped))[:SKIPPED_SHOWN],
        "left": max(job.total - tally.done - len(skipped), 0),
        "error": job.error,
    }


def _redrive(seen: RedriveSeen) -> dict[str, Any]:
    seconds = (seen.last - seen.began).total_seconds()
    return {
        "who": seen.actor,
        "note": seen.note,
        "began": iso(seen.began),
        "last": iso(seen.last),
        "count": seen.count,
        "again": seen.again,
        "died_again": round(seen.again / seen.count, 4) if seen.count else 0,
        "per_second": round(seen.count / seconds, 1) if seconds > 0 else None,
    }
