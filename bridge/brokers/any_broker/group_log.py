"""The decisions about groups of failures on a broker: reads them from their log, and appends a new one."""

from contextlib import aclosing

from bridge.brokers.contract.broker import Broker
from bridge.failures.states import GroupDecision, GroupDecisions, record_of
from bridge.ledger_keys import LedgerKeys
from bridge.site_logs import FAILURES


async def read_group_decisions(broker: Broker, namespace: str, keys: LedgerKeys) -> GroupDecisions:
    """Return the decisions about groups. Raise `BrokerUnavailable` or `BrokerRefused`."""
    decisions = GroupDecisions()
    async with aclosing(broker.log(FAILURES.name, FAILURES.retention).read()) as records:
        async for record in records:
            decisions.add(record.content, namespace, keys)
    return decisions


async def decide_about_group(broker: Broker, decision: GroupDecision, namespace: str, keys: LedgerKeys) -> None:
    """Append a decision, confirmed. Raise what `Log.append` raises."""
    await broker.log(FAILURES.name, FAILURES.retention).append(record_of(decision, namespace, keys))
