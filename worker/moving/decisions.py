"""Copies what people have decided: pauses, cancellations, and decisions about groups of failures. They are copied
before the events, so that a paused queue stays paused and a cancelled event does not run."""

from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime

from bridge.brokers.any_broker.group_log import decide_about_group, read_group_decisions
from bridge.brokers.contract.broker import Broker
from bridge.cancellations import Cancellation, Cancellations
from bridge.failures.states import GroupDecision
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.logs import BEFORE_ALL
from bridge.site_logs import CANCELLATIONS
from worker.control.controls_log import ControlsLog
from worker.moving.tally import Kind, Tally


class DecisionsMove:
    """Copies decisions to a broker, which are signed there. What the new broker has already is not copied again. In the
    old file no signature is asked for: its permissions protect it."""

    def __init__(self, new: Broker, namespace: str, keys: LedgerKeys, tally: Tally) -> None:
        self._new = new
        self._namespace = namespace
        self._keys = keys
        self._tally = tally
        self._log = ControlsLog(new, namespace, keys)
        self._copied_pauses: set[str] = set()
        self._copied_groups: Mapping[str, GroupDecision] = {}
        self._read = BEFORE_ALL

    async def copy(self, old: Broker, namespace: str) -> None:
        """Copy what is new in the old file since the last call. Raise `BrokerUnavailable` or `BrokerRefused`."""
        controls = ControlsLog(old, namespace, NO_KEYS)
        await controls.read_controls()
        pauses = controls.controls.pauses(datetime.now(UTC))
        cancellations = await self._new_cancellations(old, namespace)
        if any(pause.id not in self._copied_pauses for pause in pauses) or cancellations:
            await self._log.read()
        for pause in pauses:
            if pause.id not in self._copied_pauses:
                if not self._log.controls.knows(pause.id):
                    await self._log.decide(pause)
                    self._tally.moved[Kind.PAUSES] += 1
                self._copied_pauses.add(pause.id)
        for cancellation in cancellations:
            if not self._log.cancellations.knows(cancellation.event):
                await self._log.cancel(cancellation)
                self._tally.moved[Kind.CANCELLATIONS] += 1
        await self._copy_groups(old, namespace)

    async def _new_cancellations(self, old: Broker, namespace: str) -> list[Cancellation]:
        found: dict[str, Cancellation] = {}
        fold, now = Cancellations(), datetime.now(UTC)
        async with aclosing(old.log(CANCELLATIONS.name, CANCELLATIONS.retention).read(self._read)) as records:
            async for record in records:
                self._read = record.position
                cancellation = fold.add(record.content, now, namespace, NO_KEYS)
                if cancellation is not None:
                    found[cancellation.event] = cancellation
        return list(found.values())

    async def _copy_groups(self, old: Broker, namespace: str) -> None:
        decided = (await read_group_decisions(old, namespace, NO_KEYS)).groups()
        if decided == self._copied_groups:
            return
        known = await read_group_decisions(self._new, self._namespace, self._keys)
        for group, decision in decided.items():
            there = known.of(group)
            if there is None or there.time < decision.time:
                await decide_about_group(self._new, decision, self._namespace, self._keys)
                self._tally.moved[Kind.GROUPS] += 1
        self._copied_groups = decided
