"""Reads the failures of a site from its ledger and its history, and samples of their letters."""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from bridge.brokers.any_broker.group_log import read_group_decisions
from bridge.brokers.any_broker.history_reading import history_of
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.ledger import Ledger
from bridge.config.settings import Settings
from bridge.errors import UnreadableEnvelope
from bridge.failures.groups import FailureGroup, failure_groups
from bridge.failures.in_common import Sample, sample_of
from bridge.failures.releases import Releases
from bridge.failures.retrying import Retrying
from bridge.failures.states import GroupDecisions, GroupState, state_of
from bridge.history import entries_of
from bridge.ledger import Dead, Skipped, open_letters

MOST_ATTEMPTS = 50_000
"""The newest attempts of the history that are looked at for events that are still retrying."""

SAMPLED = 20
"""The newest letters of a group that are read for a sample."""


@dataclass(frozen=True, slots=True)
class Failures:
    """The failures of a site now, and the decisions about groups. `skipped` are records of the ledger that do not
    count.

    `since` is the time of the oldest attempt that was looked at, if the history may have older ones: an event that has
    not been attempted since is not among the retrying. `first_seen` has the time at which each release of the app was
    first seen in a letter or an attempt.
    """

    groups: list[FailureGroup]
    first_seen: Mapping[str, datetime]
    decisions: GroupDecisions
    since: datetime | None = None
    skipped: list[Skipped] = field(default_factory=list)

    def state_of(self, group: FailureGroup, now: datetime) -> GroupState:
        """Return the state of one of the groups."""
        return state_of(group, self.decisions.of(group.id), self.first_seen, now)


async def read_failures(broker: Broker, settings: Settings) -> Failures:
    """Return the failures of the site, in groups, the largest first. Raise `BrokerUnavailable` or `BrokerRefused`."""
    ledger = broker.ledger()
    try:
        entries = [entry async for entry in ledger.entries()]
    finally:
        await ledger.close()
    releases = Releases()
    for entry in entries:
        if isinstance(entry, Dead):
            releases.add(entry.release, entry.time)
    retrying, since = await _retrying(broker, settings, releases)
    skipped = [entry for entry in entries if isinstance(entry, Skipped)]
    groups = failure_groups(open_letters(entries).values(), retrying.events())
    decisions = await read_group_decisions(broker, settings.values.namespace, settings.ledger_keys())
    return Failures(groups, releases.first_seen, decisions, since, skipped)


async def sample(ledger: Ledger, group: FailureGroup, most: int = SAMPLED) -> Sample:
    """Return the sample of the newest letters of a group, at most `most`. Nothing is known of the payload of an event
    that is still retrying."""
    numbers = sorted(letter.number for letter in group.dead)[-most:]
    async with aclosing(ledger.letters(numbers)) as letters:
        found = [letter async for letter in letters]
    return sample_of(
        letter.envelope.event for letter in found if letter is not None and not isinstance(letter, UnreadableEnvelope)
    )


async def _retrying(broker: Broker, settings: Settings, releases: Releases) -> tuple[Retrying, datetime | None]:
    retrying, read = Retrying(), 0
    log = history_of(broker, settings)
    async with aclosing(log.read_back()) as records:
        async for record in records:
            for entry in reversed(list(entries_of(record.content))):
                retrying.add(entry)
                releases.add(entry.release, entry.time)
                read += 1
                if read == MOST_ATTEMPTS:
                    return retrying, entry.time
    return retrying, None
