"""Now: are we keeping up, and what is broken?"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from bridge.brokers.contract.findings import counted
from bridge.controls import Pause, fields_of
from bridge.registry import Roll
from deferred_event_bridge.dashboard.charts import sparkline
from deferred_event_bridge.dashboard.judging import Level, Trouble, judge, seconds_in_line, troubles
from deferred_event_bridge.dashboard.observing import Seen
from deferred_event_bridge.dashboard.screens.asked import Asked, iso
from worker.operating.queue_acts import QueueLine
from worker.operating.queue_pages import line_to_json

NEWLY_DEAD = timedelta(hours=1)
COMMANDS = ("bridge-queues list", "bridge-status --site")


def document(asked: Asked) -> dict[str, Any]:
    """Return the state of the site: a headline, the queues, what is broken, and the counts of workers and letters."""
    seen, ledger = asked.observer.seen(), asked.observer.ledger
    overview = seen.overview
    queues = [] if overview is None else [_queue(line, overview.pauses, seen.roll) for line in overview.lines]
    broken = [] if overview is None else list(troubles(overview, seen.roll, asked.now))
    newly_dead = ledger.since(asked.now - NEWLY_DEAD)
    level, headline = _headline(seen, queues, broken, newly_dead)
    return {
        "as_of": iso(seen.time),
        "level": level,
        "headline": headline,
        "unreachable": seen.trouble,
        "site": None if overview is None else overview.site,
        "queues": queues,
        "troubles": [{"level": each.level, "text": each.text, "screen": each.screen} for each in broken],
        "patterns": [] if overview is None else [fields_of(pause) for pause in overview.pauses],
        "waiting": None if overview is None else overview.waiting,
        **_workers(seen.roll),
        "dead_letters": {
            "read": seen.ledger_read,
            "open": ledger.total(),
            "last_hour": newly_dead,
        },
    }


def charts(asked: Asked) -> dict[str, str]:
    """Return a chart of the ready events of each queue."""
    points = asked.observer.last.points
    return {
        queue.name: sparkline(
            [(time, ready.get(queue.name, 0)) for time, ready in points], f"Ready events of {queue.name} over time"
        )
        for queue in asked.settings.queues()
    }


def _queue(line: QueueLine, by_pattern: Iterable[Pause], roll: Roll | None) -> dict[str, Any]:
    judgement, seconds = judge(line, roll), seconds_in_line(line)
    return {
        **line_to_json(line),
        "level": judgement.level,
        "judgement": judgement.text,
        "seconds_in_line": None if seconds is None else round(seconds, 1),
        "by_pattern": [fields_of(pause) for pause in by_pattern],
    }


def _headline(seen: Seen, queues: list[dict[str, Any]], broken: list[Trouble], newly_dead: int) -> tuple[Level, str]:
    if seen.trouble:
        return "bad", "The broker cannot be asked."
    if seen.overview is None:
        return "wait", "Looking at the site …"
    behind = [queue["queue"] for queue in queues if queue["level"] == "bad"]
    bad = sum(each.level == "bad" for each in broken)
    if behind or bad:
        parts = [
            f"{_named(behind)} {'needs' if len(behind) == 1 else 'need'} help" if behind else "",
            f"{counted(bad, 'thing')} {'is' if bad == 1 else 'are'} broken" if bad else "",
        ]
        return "bad", f"{'; '.join(filter(None, parts))}."
    paused = [queue["queue"] for queue in queues if queue["pauses"]]
    if paused:
        return "wait", f"Keeping up, but {_named(paused)} {'is' if len(paused) == 1 else 'are'} paused."
    if any(queue["level"] != "good" for queue in queues) or broken:
        return "wait", "Keeping up, with something to look at."
    if newly_dead:
        return "wait", f"Keeping up, but {counted(newly_dead, 'event')} died in the last hour."
    return "good", "Everything keeps up."


def _named(queues: list[str]) -> str:
    return f"queue {queues[0]}" if len(queues) == 1 else f"{len(queues)} queues"


def _workers(roll: Roll | None) -> dict[str, Any]:
    """Return the counts of workers and slots, None as long as the workers were not asked."""
    if roll is None:
        return {"workers": None, "missing": 0, "slots": {"busy": None, "all": None}}
    return {
        "workers": len(roll.workers),
        "missing": len(roll.missing),
        "slots": {
            "busy": sum(slot.state == "busy" for worker in roll.workers for slot in worker.slots),
            "all": sum(worker.serving.slots for worker in roll.workers),
        },
    }
