"""The failures of the site now, in groups: what is dead, what is still retrying, and what was decided about a group.

It follows the history and the log of decisions, and reads of the history no more than `MOST_ATTEMPTS` at a time.
"""

from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from bridge.brokers.any_broker.failure_reading import MOST_ATTEMPTS
from bridge.brokers.any_broker.history_reading import history_of
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.logs import Log
from bridge.config.settings import Settings
from bridge.failures.groups import FailureGroup, failure_groups
from bridge.failures.retrying import Retrying
from bridge.failures.states import GroupDecisions, GroupState, state_of
from bridge.history import RETRIED, Entry, entries_of
from bridge.logs import BEFORE_ALL
from bridge.site_logs import FAILURES
from deferred_event_bridge.dashboard.ledger_fold import LedgerFold


@dataclass(frozen=True, slots=True)
class GroupNow:
    """A group and its state."""

    group: FailureGroup
    state: GroupState


class FailuresNow:
    """The followers of the two logs. `read` reads on; `groups` joins what was read with the open letters."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._namespace = settings.values.namespace
        self._keys = settings.ledger_keys()
        self._history: Log = history_of(broker, settings)
        self._log: Log = broker.log(FAILURES.name, FAILURES.retention)
        self._decisions = GroupDecisions()
        self._decided = BEFORE_ALL
        self._attempts = BEFORE_ALL
        self._retrying: dict[tuple[str, str], Entry] = {}

    async def read(self) -> None:
        """Read the attempts and decisions that are new since the last call; at the first call, the newest attempts."""
        async with aclosing(self._log.read(self._decided)) as decisions:
            async for record in decisions:
                self._decided = record.position
                self._decisions.add(record.content, self._namespace, self._keys)
        if self._attempts == BEFORE_ALL:
            await self._read_back()
        else:
            await self._read_on()

    def groups(self, ledger: LedgerFold, now: datetime) -> tuple[GroupNow, ...]:
        """Return the groups, the largest first."""
        found = failure_groups(ledger.letters(), self._retrying.values())
        seen = ledger.releases.first_seen
        return tuple(GroupNow(each, state_of(each, self._decisions.of(each.id), seen, now)) for each in found)

    async def _read_back(self) -> None:
        retrying, read = Retrying(), 0
        async with aclosing(self._history.read_back()) as records:
            async for record in records:
                self._attempts = max(self._attempts, record.position)
                for entry in reversed(list(entries_of(record.content))):
                    retrying.add(entry)
                    read += 1
                if read >= MOST_ATTEMPTS:
                    break
        self._retrying = {(entry.id, entry.queue): entry for entry in retrying.events()}

    async def _read_on(self) -> None:
        async with aclosing(self._history.read(self._attempts)) as records:
            async for record in records:
                self._attempts = record.position
                for entry in entries_of(record.content):
                    self._retrying.pop((entry.id, entry.queue), None)
                    if entry.end == RETRIED:
                        self._retrying[entry.id, entry.queue] = entry
