"""The tally of the demo: the end of every event that a 202 promised, from the app's database and the ledger."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bridge.brokers.contract.ledger import Ledger
from bridge.ledger import Dead


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of the deferred events, by their end.

    `unaccounted` events have not ended. `twice` counts events that were delivered and dead-lettered: without a crash
    there must be none. `latencies` are the seconds from defer to handler, ascending.
    """

    deferred: int
    first_try: int
    after_retries: int
    dead: dict[str, int]
    unaccounted: int
    twice: int
    latencies: list[float]

    @property
    def delivered(self) -> int:
        return self.first_try + self.after_retries

    @property
    def balances(self) -> bool:
        """True if every event ended in exactly one way."""
        return self.unaccounted == 0 and self.twice == 0

    def latency(self, share: float) -> float:
        """Return the latency in seconds that this share of the events did not exceed; 0 without events."""
        last = len(self.latencies) - 1
        return self.latencies[round(share * last)] if self.latencies else 0.0


async def tally(deferred: Collection[str], database: Path, ledger: Ledger) -> Tally:
    """Count the ends of the deferred events now."""
    attempts, latencies = _app_knows(database)
    dead = {entry.event_id: entry.reason async for entry in ledger.entries() if isinstance(entry, Dead)}
    ours = set(deferred)
    delivered = {event_id: attempt for event_id, attempt in attempts.items() if event_id in ours}
    lost = {event_id: reason for event_id, reason in dead.items() if event_id in ours}
    reasons = sorted(lost.values())
    return Tally(
        deferred=len(ours),
        first_try=sum(attempt == 1 for attempt in delivered.values()),
        after_retries=sum(attempt > 1 for attempt in delivered.values()),
        dead={reason: reasons.count(reason) for reason in reasons},
        unaccounted=len(ours - delivered.keys() - lost.keys()),
        twice=len(delivered.keys() & lost.keys()),
        latencies=sorted(seconds for event_id, seconds in latencies.items() if event_id in ours),
    )


def _app_knows(database: Path) -> tuple[dict[str, int], dict[str, float]]:
    """Return two dicts by event id: the attempt that delivered the event, and the seconds until its first attempt."""
    connection = sqlite3.connect(database)
    try:
        attempts = dict(connection.execute("SELECT event_id, attempt FROM forwarded"))
        latencies = dict(connection.execute("SELECT event_id, digested - deferred FROM digests"))
    finally:
        connection.close()
    return attempts, latencies
