"""Counts what would be moved. It changes nothing."""

from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge.brokers.any_broker.group_log import read_group_decisions
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.emptying import Stock
from bridge.cancellations import Cancellations
from bridge.ledger import open_letters
from bridge.ledger_keys import NO_KEYS
from bridge.site_logs import CANCELLATIONS
from worker.control.controls_log import ControlsLog
from worker.moving.move import OldFile
from worker.moving.tally import Kind


@dataclass(frozen=True, slots=True)
class Found:
    """What an old file has, by kind, and as its broker counts it."""

    counts: Mapping[Kind, int]
    stock: Stock


async def look(old: OldFile) -> Found:
    """Return what the file has. Raise `BrokerUnavailable` or `BrokerRefused`."""
    async with old.opened() as (broker, emptying):
        stock = await emptying.stock()
        entries = [entry async for entry in broker.ledger().entries()]
        controls = ControlsLog(broker, old.namespace, NO_KEYS)
        await controls.read_controls()
        counts = {
            Kind.DUE: sum(stock.due.values()),
            Kind.DELAYED: stock.delayed,
            Kind.RETRYING: sum(stock.retries.values()),
            Kind.LETTERS: len(open_letters(entries)),
            Kind.MESSAGES: sum(stock.messages.values()),
            Kind.PAUSES: len(controls.controls.pauses(datetime.now(UTC))),
            Kind.CANCELLATIONS: await _cancellations(broker, old.namespace),
            Kind.GROUPS: len((await read_group_decisions(broker, old.namespace, NO_KEYS)).groups()),
        }
    return Found(Counter(counts), stock)


async def _cancellations(broker: Broker, namespace: str) -> int:
    fold, now = Cancellations(), datetime.now(UTC)
    async with aclosing(broker.log(CANCELLATIONS.name, CANCELLATIONS.retention).read()) as records:
        async for record in records:
            fold.add(record.content, now, namespace, NO_KEYS)
    return len(fold)
