"""The failures of the site now, in groups: what is dead, what is still retrying, and what was decided about a group.

It follows the history and the log of decisions, and reads of the history no more than `MOST_ATTEMPTS` at a time.
"""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.brokers.any_broker.failure_reading import MOST_ATTEMPTS
from bridge.brokers.any_broker.history_reading import history_of
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.logs import Log
from bridge.config.settings import Settings
from bridge.failures.groups import FailureGroup, groups_of
from bridge.failures.in_common import Sample
from bridge.failures.retrying import Retrying
from bridge.failures.states import GroupDecisions, GroupState, state_of
from bridge.history import RETRIED, Entry, entries_of
from bridge.logs import BEFORE_ALL
from bridge.site_logs import FAILURES
from dead_letter.group_pages import ShownGroup, group_document
from deferred_event_bridge.dashboard.ledger_fold import LedgerFold

MAKE_EVERY = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class GroupNow:
    """A group, its state, and its document, which takes long to make for a large group: without a sample of letters."""

    group: FailureGroup
    state: GroupState
    document: Mapping[str, Any]


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
        self._made: tuple[GroupNow, ...] = ()
        self._made_of: tuple[int, int, int] | None = None
        self._made_at = datetime.min.replace(tzinfo=UTC)

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
        """Return the groups, the largest first. They are made again if something was read, and after `MAKE_EVERY`,
        because a group may be quiet until a time."""
        read = (ledger.last, self._attempts, self._decided)
        if read != self._made_of or now - self._made_at > MAKE_EVERY:
            found = groups_of(ledger.groups(), self._retrying.values())
            known = {each.group.fingerprint: each for each in self._made}
            self._made = tuple(self._group(each, known.get(each.fingerprint), ledger, now) for each in found)
            self._made_of, self._made_at = read, now
        return self._made

    def _group(self, group: FailureGroup, known: GroupNow | None, ledger: LedgerFold, now: datetime) -> GroupNow:
        """Return the group; as it is `known` if it is unchanged, and nobody has decided about it."""
        decision = self._decisions.of(group.id)
        if known is not None and decision is None and known.state.decision is None and _alike(known.group, group):
            return known
        state = state_of(group, decision, ledger.releases.first_seen, now)
        return GroupNow(group, state, group_document(ShownGroup(group, state, Sample())))

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


def _alike(one: FailureGroup, other: FailureGroup) -> bool:
    """Return True if two groups of one fingerprint have the same failures. Numbers of letters rise, so as many letters
    with the same last one are the same."""
    return (
        len(one.dead) == len(other.dead)
        and [each.number for each in one.dead[-1:]] == [each.number for each in other.dead[-1:]]
        and one.retrying == other.retrying
    )
