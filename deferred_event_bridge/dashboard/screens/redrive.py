"""Redrive: what is put back, and does it live? The orders of this process, and the redrives that the ledger records."""

from collections.abc import Mapping
from typing import Any

from bridge.plans import PlanStory, story_to_json
from dead_letter.rendering import by_reason
from deferred_event_bridge.dashboard.decision_job import SKIPPED_SHOWN, DecisionJob, DecisionJobs
from deferred_event_bridge.dashboard.ledger_fold import RedriveSeen
from deferred_event_bridge.dashboard.screens.asked import Asked, command, iso

SHOWN = 30


def document(asked: Asked, jobs: DecisionJobs, errors: Mapping[str, str]) -> dict[str, Any]:
    """Return the plans of the site, the orders of this process, and the redrives that the ledger has recorded.
    `errors` has why plans ended early in this process."""
    seen, ledger = asked.observer.seen(), asked.observer.ledger
    orders = [_order(job) for job in jobs.all()]
    plans = [_plan(story, asked, errors) for story in seen.plans]
    running = [each for each in plans if each["running"]] + [each for each in orders if each["running"]]
    return {
        "as_of": iso(seen.time),
        "unreachable": seen.trouble,
        "read": seen.ledger_read,
        "level": "wait" if running else "good",
        "headline": _headline(running),
        "plans": plans,
        "orders": orders,
        "open": ledger.total(),
        "redrives": [_redrive(each) for each in ledger.redrives()[:SHOWN]],
        "command": command("bridge-dlq", "plans"),
    }


def _headline(running: list[dict[str, Any]]) -> str:
    if not running:
        return "No redrive runs."
    first = running[0]
    if "plan" in first:
        return f"Redriving: {first['redriven']:,} of {first['letters']:,} letters, {first['failed']:,} failed again."
    verb = "Redriving" if first["verb"] == "redrive" else "Discarding"
    return f"{verb}: {first['done']:,} of {first['total']:,} letters."


def _plan(story: PlanStory, asked: Asked, errors: Mapping[str, str]) -> dict[str, Any]:
    document = story_to_json(story, asked.now)
    known = document["delivered"] + document["failed"]
    return {
        **document,
        "running": document["state"] in ("running", "stopping"),
        "unknown": max(document["redriven"] - known, 0),
        "left": max(document["letters"] - document["redriven"] - document["skipped"], 0),
        "error": errors.get(document["plan"], ""),
    }


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
