"""The doctor's check of the local spool, where events wait for a broker that cannot be reached."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.brokers.contract.findings import Finding, counted, ok, unknown, wrong
from bridge.config.values import Values
from bridge.errors import BridgeError
from bridge.publishing.spool.summary import Spooled, spooled

LATE = timedelta(minutes=1)
"""If the broker can be reached, a spool is empty within seconds."""

NEARLY_FULL = 0.8


def examine(values: Values) -> Sequence[Finding]:
    """Judge the spool. Return no finding if `defer()` does not use a spool and none holds events."""
    path = Path(values.spool)
    try:
        found = spooled(path, values.namespace)
    except BridgeError as error:
        return [unknown("spool", f"{error}", f"ls -l {path}; run bridge-doctor as the app's user")]
    if values.publish != "spool" and not found.events:
        return []
    return [judge(path, found, values.spool_limit, datetime.now(UTC))]


def judge(path: Path, found: Spooled, limit: int, now: datetime) -> Finding:
    """Judge the content of a spool. `limit` is in bytes."""
    if not found.events:
        return ok("spool", f"{path} is empty")
    since = max(now - found.oldest, timedelta()) if found.oldest is not None else timedelta()
    share = found.bytes / limit
    sentence = (
        f"{path} holds {counted(found.events, 'event')}, the oldest for {since.total_seconds():.0f} s; {share:.0%} full"
    )
    if since < LATE and share < NEARLY_FULL:
        return ok("spool", sentence)
    return wrong("spool", sentence, "see the broker above; then start bridge-relay on this machine, or the app")
