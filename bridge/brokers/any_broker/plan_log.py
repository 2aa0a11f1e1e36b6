"""The plans of redrives on a broker: reads and follows their log, and appends records."""

from contextlib import aclosing

from bridge.brokers.contract.broker import Broker
from bridge.ledger_keys import LedgerKeys
from bridge.logs import BEFORE_ALL, Content
from bridge.plans import PlanRecords, Plans
from bridge.site_logs import PLANS


class PlanLog:
    """The log, and the fold of what was read of it so far. `records` makes the records to be appended. Raises what
    `Log` raises."""

    def __init__(self, broker: Broker, namespace: str, keys: LedgerKeys) -> None:
        self.plans = Plans()
        self.records = PlanRecords(namespace, keys)
        self._log = broker.log(PLANS.name, PLANS.retention)
        self._read = BEFORE_ALL
        self._namespace = namespace
        self._keys = keys

    async def read(self) -> Plans:
        """Read the records that are new since the last call, and return the fold."""
        async with aclosing(self._log.read(self._read)) as records:
            async for record in records:
                self._read = record.position
                self.plans.add(record.content, self._namespace, self._keys)
        return self.plans

    async def append(self, *contents: Content) -> None:
        """Append records in this order, confirmed."""
        for content in contents:
            await self._log.append(content)
