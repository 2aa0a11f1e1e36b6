"""Whether a worker is ready: by its own status alone, it takes events and gets on with them. Pure."""

from collections.abc import Mapping
from typing import Any

from bridge.findings import counted

SLACK = 10.0
"""Seconds beyond the longest deadline: a child is ended, and its event is settled."""


def why_not(status: Mapping[str, Any]) -> str | None:
    """Return why a worker is not ready; None where it is."""
    serving = status.get("serving")
    if serving is None:
        return str(status.get("trouble") or "it does not say what it serves: it is of another version")
    if idle := [queue for queue, live in serving["queues"].items() if not live]:
        return f"it has no live consumer on {', '.join(idle)}: {serving['why'] or 'it takes no more events'}"
    if not serving["slots"]:
        return (
            f"it has no slot that takes events: {status.get('trouble') or 'no child is warm, no pool can be reached'}"
        )
    if serving["unconfirmed"]:
        return f"the broker does not confirm {counted(serving['unconfirmed'], 'settlement')}, so nothing new is begun"
    if status["running"] and serving["progress"] > serving["deadline"] + SLACK:
        return (
            f"nothing was settled for {serving['progress']:.0f} s, with {counted(status['running'], 'event')} in hand: "
            f"a replay may last {serving['deadline']:g} s"
        )
    return None
